/*
 * reserve: sizes, the layout, what each backing and way of populating must give, and steps of an arena
 * that grows.
 */
#include "reserve.h"

#include "arena/arena.h"
#include "arena/prefault.h"
#include "arena/reserve.h"

TestSuite(reserve, .init = set_up);

/* --- sizes --- */

/* By the number of the node; 0 for one that is left out. */
static void plan_nodes(size_t bytes[HFI_MAX_NODES], const struct options *options)
{
    struct reservation planned;
    hfi_plan_draft(&planned, options, &topology, hfi_os_usable_bytes());
    memset(bytes, 0, HFI_MAX_NODES * sizeof bytes[0]);
    for (unsigned i = 0; i < planned.node_count; i++)
        bytes[planned.nodes[i].id] = planned.nodes[i].bytes;
}

Test(reserve, plan_splits_a_named_size_evenly)
{
    size_t bytes[HFI_MAX_NODES];
    make_topology(4);
    struct options options = options_of(ARENA_BYTES, HFI_GIB, BACKING_AUTO);
    plan_nodes(bytes, &options);
    for (int i = 0; i < HFI_MAX_NODES; i++)
        cr_assert_eq(bytes[i], i < 4 ? HFI_GIB / 4 : 0);
    options.nodes = 0xa;
    options.arena_bytes = HFI_GIB + 2;
    plan_nodes(bytes, &options);
    cr_assert_eq(bytes[0] + bytes[2], 0);
    cr_assert_eq(bytes[1], HFI_GIB / 2 + HFI_PAGE_BYTES, "rounded up to 64 KiB");
    cr_assert_eq(bytes[3], bytes[1]);
}

Test(reserve, plan_of_percent_nodes_and_auto)
{
    size_t bytes[HFI_MAX_NODES];
    make_topology(2);
    struct options options = options_of(ARENA_PERCENT, 0, BACKING_AUTO);
    options.arena_percent = 50;
    plan_nodes(bytes, &options);
    cr_assert_eq(bytes[0], hfi_align_up(hfi_os_usable_bytes() / 100 * 50 / 2, HFI_PAGE_BYTES));
    options = options_of(ARENA_PER_NODE, 0, BACKING_AUTO);
    options.arena_node_bytes[1] = 5 * HFI_MIB + 1;
    plan_nodes(bytes, &options);
    cr_assert_eq(bytes[0], 0);
    cr_assert_eq(bytes[1], 5 * HFI_MIB + HFI_PAGE_BYTES);
    options = options_of(ARENA_AUTO, 0, BACKING_AUTO);
    plan_nodes(bytes, &options);
    cr_assert_eq(bytes[0] % (2 * HFI_MIB), 0);
    cr_assert_leq(bytes[0], hfi_os_usable_bytes());
    cr_assert_leq(bytes[0], 8 * HFI_GIB, "no more than the node has");
    cr_assert_eq(bytes[0], bytes[1]);
}

/* --- layout --- */

Test(reserve, auto_is_silent_and_populates_nothing)
{
    struct outcome outcome = run(options_of(ARENA_AUTO, 0, BACKING_AUTO), NULL, auto_holds);
    ASSERT_STATUS(outcome, 0);
    cr_assert_str_empty(outcome.said);
}

Test(reserve, auto_of_several_nodes)
{
    make_topology(3);
    struct outcome outcome = run(options_of(ARENA_AUTO, 0, BACKING_AUTO), NULL, auto_holds);
    ASSERT_STATUS(outcome, 0);
    cr_assert_leq(lines_of(outcome.said), 1, "one line for nodes that are not there: %s", outcome.said);
}

Test(reserve, named_4k)
{
    struct outcome outcome = run(options_of(ARENA_BYTES, 8 * HFI_MIB + 1, BACKING_4K), NULL, backing_is_4k);
    ASSERT_STATUS(outcome, 0);
    cr_assert_str_empty(outcome.said);
}

static bool backing_is_thp(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].backing == BACKING_THP && r->nodes[0].bytes == 10 * HFI_MIB;
}

Test(reserve, named_thp_is_rounded_to_huge_pages)
{
    if (!hfi_os_has_thp())
        cr_skip_test("no transparent huge pages here");
    struct outcome outcome = run(options_of(ARENA_BYTES, 8 * HFI_MIB + 1, BACKING_THP), NULL, backing_is_thp);
    ASSERT_STATUS(outcome, 0);
}

static bool backing_is_2m(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].backing == BACKING_2M && r->nodes[0].locked &&
           r->nodes[0].os_page_bytes == 2 * HFI_MIB;
}

Test(reserve, named_2m_and_populated_even_with_prefault_none)
{
    if (!has_pool())
        cr_skip_test("no huge pages in the pool");
    struct options options = options_of(ARENA_BYTES, 7 * HFI_MIB, BACKING_2M);
    ASSERT_STATUS(run_on_the_pool(options, NULL, backing_is_2m), 0);
    options.prefault = PREFAULT_NONE;
    options.verbose = true;
    struct outcome outcome = run_on_the_pool(options, NULL, backing_is_2m);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "HF-I216");
}

static bool nothing_populated(const struct reservation *r)
{
    unsigned char page = 1;
    return layout_holds(r) && r->nodes[0].populated_bytes == 0 &&
           mincore(r->nodes[0].start, 4096, &page) == 0 && !(page & 1);
}

Test(reserve, prefault_none)
{
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB, BACKING_4K);
    options.prefault = PREFAULT_NONE;
    ASSERT_STATUS(run(options, NULL, nothing_populated), 0);
}

static bool lead_populated(const struct reservation *r)
{
    return layout_holds(r) && r->nodes[0].populated_bytes == r->nodes[0].bytes &&
           resident(r->nodes[0].start, 4 * HFI_MIB) &&
           hfi_prefault_closed_bytes(0) > r->nodes[0].bytes - 32 * HFI_MIB;
}

Test(reserve, prefault_background_populates_what_it_needs_to_begin)
{
    struct options options = options_of(ARENA_BYTES, 256 * HFI_MIB, BACKING_4K);
    options.prefault = PREFAULT_BACKGROUND;
    struct outcome outcome = run(options, NULL, lead_populated);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "");
}

static bool arena_begins(const struct reservation *r)
{
    return r->nodes[0].bytes == 4 * HFI_GIB && hfi_prefault_closed_bytes(0) >= 4 * HFI_GIB - 32 * HFI_MIB &&
           hfi_arena_init(r) == 0;
}

/* Its own structures are the larger the larger it is, and are there before the rest follows. */
Test(reserve, prefault_background_of_a_large_arena)
{
    enum os_bound bound;
    if (hfi_plan_most(hfi_os_available_bytes(&bound)) < 4 * HFI_GIB)
        cr_skip_test("less than 4 GiB are free");
    struct options options = options_of(ARENA_BYTES, 4 * HFI_GIB, BACKING_4K);
    options.prefault = PREFAULT_BACKGROUND;
    ASSERT_STATUS(run(options, NULL, arena_begins), 0);
}

static void refuse_io_uring(void)
{
    refuse(SYS_io_uring_setup, 0, -1, EPERM);
}

Test(reserve, prefault_background_refused_populates_at_start)
{
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB, BACKING_4K);
    options.prefault = PREFAULT_BACKGROUND;
    options.verbose = true;
    struct outcome outcome = run(options, refuse_io_uring, named_holds);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "HF-I224");
}

/* --- growing --- */

/* Whether the kernel may write to an OS page. */
static bool accessible(char *start)
{
    return hfi_os_populate(start, 4096) == 0;
}

static bool steps_populate(const struct reservation *r)
{
    const struct reserved_node *node = &r->nodes[0];
    char *table = r->base + hfi_plan_table_slice(r, node).offset;
    char *owners = r->base + hfi_plan_owners_slice(r, node).offset;
    char *step_end = node->start + 128 * HFI_MIB;
    char *table_end = table + HFI_WINDOW_PAGES * HFI_TABLE_ENTRY_BYTES;
    char *owners_end = owners + HFI_WINDOW_PAGES * HFI_OWNER_ENTRY_BYTES;
    bool closed = !accessible(node->start) && !accessible(table) && !accessible(owners) && table[0] == 0 &&
                  owners[0] == 0;
    bool opened =
        hfi_open_step(node, 0, 128 * HFI_MIB) == 0 && accessible(node->start) && !accessible(step_end);
    bool maps = hfi_open_maps(r, node, 0, HFI_WINDOW_PAGES) == 0 && accessible(table) && accessible(owners) &&
                !accessible(table_end) && !accessible(owners_end);
    return closed && opened && maps && hfi_prefault_step(node, 64 * HFI_MIB, 4 * HFI_MIB) == 0 &&
           resident(node->start + 64 * HFI_MIB, 4 * HFI_MIB) &&
           hfi_prefault_step(node, 4 * HFI_MIB, 64 * HFI_KIB) == 0 &&
           resident(node->start + 4 * HFI_MIB, 64 * HFI_KIB) && !resident(node->start + 5 * HFI_MIB, 4096) &&
           hfi_prefault_step(node, node->prefault_bytes, HFI_MIB) == -ENOMEM;
}

Test(reserve, steps_of_a_growing_arena)
{
    ASSERT_STATUS(run(options_of(ARENA_AUTO, 0, BACKING_AUTO), NULL, steps_populate), 0);
}
