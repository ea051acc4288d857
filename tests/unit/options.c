/*
 * options: every form of every value, and what is refused.
 */
#include "options.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct options read_with(const char *name, const char *value)
{
    struct options options;
    setenv(name, value, 1);
    hfi_options_read(&options);
    unsetenv(name);
    return options;
}

Test(options, sizes)
{
    static const struct { const char *text; size_t bytes; } good[] = {
        { "1", 1 }, { "4096", 4096 }, { "64K", 65536 }, { "64k", 65536 }, { "8G", (size_t)8 << 30 }, { "1.5G", (size_t)3 << 29 },
        { "512MiB", (size_t)512 << 20 }, { "2T", (size_t)2 << 40 }, { "0.25M", (size_t)1 << 18 },
    };
    static const char *const bad[] = { "", "0", "G", "-1", "8GG", "8 G", "1e9", "99999999999999999999", "99999999999T", "0.0G", "8Gi" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t bytes = 0;
        cr_assert(hfi_parse_bytes(good[i].text, &bytes, NULL), "%s", good[i].text);
        cr_assert_eq(bytes, good[i].bytes, "%s is %zu", good[i].text, bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t bytes;
        cr_assert_not(hfi_parse_bytes(bad[i], &bytes, NULL), "%s", bad[i]);
    }
}

Test(options, arena)
{
    cr_assert_eq(read_with("HOLDFAST_ARENA", "auto").arena, ARENA_AUTO);
    cr_assert_eq(read_with("HOLDFAST_ARENA", "8G").arena_bytes, (size_t)8 << 30);
    cr_assert_eq(read_with("HOLDFAST_ARENA", "25%").arena_percent, 25);
    struct options nodes = read_with("HOLDFAST_ARENA", "0:4G,3:1G");
    cr_assert_eq(nodes.arena, ARENA_PER_NODE);
    cr_assert_eq(nodes.arena_node_bytes[3], (size_t)1 << 30);
    static const char *const bad[] = { "", "0%", "101%", "4G,1G", "0:4G,0:1G", "64:1G", "0:", ":1G", "0:1G,", "big" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct options options = read_with("HOLDFAST_ARENA", bad[i]);
        cr_assert_eq(options.errors, 1, "%s", bad[i]);
        cr_assert_eq(options.arena, ARENA_AUTO);
    }
}

Test(options, nodes)
{
    cr_assert_eq(read_with("HOLDFAST_NODES", "all").nodes, ~(uint64_t)0);
    cr_assert_eq(read_with("HOLDFAST_NODES", "0,2-3").nodes, 0xd);
    cr_assert_eq(read_with("HOLDFAST_NODES", "3-2").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_NODES", "0,").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_NODES", "64").errors, 1);
}

Test(options, words)
{
    cr_assert_eq(read_with("HOLDFAST_BACKING", "2m").backing, BACKING_2M);
    cr_assert_eq(read_with("HOLDFAST_BACKING", "2M").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_ON_FULL", "abort").on_full, ON_FULL_ABORT);
    cr_assert_eq(read_with("HOLDFAST_PLACE", "node:2").place_node, 2);
    cr_assert_eq(read_with("HOLDFAST_PLACE", "node:").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_REMOTE", "deny").remote_allow, false);
    cr_assert_eq(read_with("HOLDFAST_VERBOSE", "3").verbose, 3);
    cr_assert_eq(read_with("HOLDFAST_VERBOSE", "4").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_STRICT", "yes").errors, 1);
}

Test(options, unknown_names_are_no_errors_but_defaults_stand)
{
    struct options options = read_with("HOLDFAST_ARENAS", "8G");
    cr_assert_eq(options.errors, 0);
    cr_assert_eq(options.arena, ARENA_AUTO);
    cr_assert(options.remote_allow && options.inspect && !options.strict);
}

Test(options, every_default_in_the_table_is_accepted)
{
    for (size_t i = 0; i < hfi_option_count; i++)
        cr_assert_eq(read_with(hfi_option_table[i].name, hfi_option_table[i].initial).errors, 0, "%s", hfi_option_table[i].name);
}
