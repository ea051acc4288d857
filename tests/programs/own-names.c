/*
 * own-names: names that ISO C leaves to programs are the program's own here, though POSIX and GNU have
 * something else by them.  The C library works all the same, and so does Holdfast: on a growing arena,
 * and on a named one.
 */
#include <holdfast/holdfast.h>

#include "test.h"

char **environ; /* not the environment: the C library has that by another name */

static void work(void)
{
    char *blocks[64];
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        CHECK((blocks[i] = malloc(300000)) != NULL);
        test_mark(blocks[i], 300000);
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        CHECK(test_marked(blocks[i], 300000));
        free(blocks[i]);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    work();
    test_on_arena(argv, "64M");
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0 && stats.arena == (uint64_t)64 << 20);
    CHECK(environ == NULL);
    return 0;
}
