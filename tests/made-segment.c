/*
 * made-segment: a process that shows an arena of which every figure is known, for tests of the tool.
 *
 *   made-segment [--older | --newer] [--one-node] [--cut-run] [--no-pages] [--heaps] [--ones TABLE]...
 *       [NAME=VALUE]...
 *   made-segment --change FILE NAME=VALUE...
 *
 * The first makes its segment, prints the file's name and stays until a signal ends it.  Its name is
 * "made".  It has two nodes, two size classes, three theaps and none past the table's end, two
 * events, 192 pages.  Blocks are counted in a page table of its own; what the page map says of them
 * is another number, 3 for each run, which nobody should show.
 *
 *   --older     structs have the sizes of the first library of this version: nothing counts blocks
 *   --newer     header and entries go on behind what this header knows, with bytes of ones
 *   --one-node  all pages are the first node's
 *   --cut-run   the last page begins a run that the node's end cuts short
 *   --no-pages  there is no page map
 *   --heaps     heaps have half of the large block's pages: one that is near its limit, one with a name
 *               that a terminal might obey, one that is being written, one that goes, and 37 without a
 *               slot.  Without it, no heap was ever made
 *   --ones      nothing but ones in one of the tables, each with all of its entries; of `header`, in
 *               what tells neither sizes nor whose it is
 *
 * The second changes words of the file that the first made, without --older and --newer.  Names are
 * in `words`; those of the header may be wrong.
 */
#include <fcntl.h>
#include <getopt.h>
#include <holdfast/heap.h>
#include <sys/prctl.h>

#include "programs/segment.h"

#define PAGE ((uint64_t)HF_INSPECT_PAGE_BYTES)
#define NODE_PAGES 128u /* of node 0 */
#define ALL_PAGES 192u
#define MORE_BYTES 64u /* that a newer library added to each struct */
#define LIST_FULL 7
#define SHOWN_BLOCKS 3 /* of each run, in the page map */

/* The segment as this header has it, and its file where structs have today's sizes. */
struct made {
    struct hf_inspect_segment header;
    struct hf_inspect_node nodes[HF_INSPECT_MAX_NODES]; /* of which there are two */
    struct hf_inspect_class classes[2];
    struct hf_inspect_theap theaps[3];
    struct hf_inspect_event events[2];
    struct hf_inspect_theap others[HF_INSPECT_MAX_NODES];
    struct hf_inspect_slow slow[2 * HF_INSPECT_CAUSES]; /* two shards */
    struct hf_inspect_heap heaps[5];
    uint64_t pages[ALL_PAGES];
};

static struct made made = {
    .header = { .magic = HF_INSPECT_MAGIC,
                .version = HF_INSPECT_VERSION,
                .event_count = 2,
                .theap_count = 3,
                .asked_arena = HF_ARENA_BYTES,
                .asked_backing = HF_BACKING_2M,
                .slo_ns = 50000,
                .causes = HF_INSPECT_CAUSES },
    .nodes = { { .id = 0,
                 .backing = HF_BACKING_2M,
                 .flags = HF_INSPECT_NODE_BOUND | HF_INSPECT_NODE_LOCKED | HF_INSPECT_NODE_FULL,
                 .total = NODE_PAGES * PAGE,
                 .populated = NODE_PAGES * PAGE,
                 .used = 75 * PAGE,
                 .idle = 2 * PAGE,
                 .free = (NODE_PAGES - 75) * PAGE,
                 .high_water = 75 * PAGE,
                 .large = 64 * PAGE,
                 .meta = 2 * PAGE,
                 .theaps = 2,
                 .asked = NODE_PAGES * PAGE,
                 .os_page_bytes = 2 << 20,
                 .reserve = 8 * PAGE,
                 .reserve_used = 3 * PAGE,
                 .reserve_uses = 7 },
               { .id = 3,
                 .backing = HF_BACKING_2M,
                 .flags = HF_INSPECT_NODE_BOUND,
                 .total = (ALL_PAGES - NODE_PAGES) * PAGE,
                 .populated = (ALL_PAGES - NODE_PAGES) * PAGE,
                 .free = (ALL_PAGES - NODE_PAGES) * PAGE,
                 .first_index = NODE_PAGES,
                 .first_page = NODE_PAGES,
                 .theaps = 2,
                 .asked = (ALL_PAGES - NODE_PAGES) * PAGE,
                 .os_page_bytes = 2 << 20 } },
    .classes = { { .block_bytes = 64, .run_pages = 1, .run_blocks = 1024 },
                 { .block_bytes = 8192, .run_pages = 2, .run_blocks = 16 } },
    .theaps = { { .in_use = 1,
                  .cpu = 5,
                  .updated_ticks = 1,
                  .claimed = 11,
                  .stolen = 22,
                  .lost = 33,
                  .remote_frees = 44,
                  .received = 55,
                  .away = { 6 },
                  .slow = { 7 },
                  .kept = 2 * PAGE },
                { .in_use = 1,
                  .home_node = 1,
                  .cpu = 6,
                  .tid = 4000001,
                  .updated_ticks = 1,
                  .claimed = 111,
                  .stolen = 122,
                  .lost = 133,
                  .remote_frees = 144,
                  .received = 155,
                  .away = { 16 },
                  .slow = { 177 } },
                { .cpu = 7,
                  .tid = 4000002,
                  .updated_ticks = 1,
                  .claimed = 1,
                  .stolen = 1,
                  .lost = 1,
                  .remote_frees = 1,
                  .received = 1,
                  .away = { 1 },
                  .slow = { 1 } } },
    .slow = { [HF_CAUSE_FRESH] = { .ticks = 300, .longest = 128, .late = 2, .calls = { [6] = 3, [7] = 1 } },
              [HF_CAUSE_CLEARED] = { .ticks = 9, .longest = 9, .calls = { [3] = 1 } },
              [HF_INSPECT_CAUSES +
                  HF_CAUSE_FRESH] = { .ticks = 200, .longest = 200, .late = 1, .calls = { [7] = 1 } } },
    .events = { { .sequence = 1, .ticks = 1, .kind = HF_EVENT_PUBLISHED, .a = 12 << 20 },
                { .sequence = 2, .ticks = 2, .kind = HF_EVENT_NODE_FULL, .tid = 4000001, .a = 8 << 20 } },
};

/* --- pages, and the table in which this process counts their blocks --- */

struct table_entry {
    uint32_t used;
    uint16_t capacity;
    uint8_t list, kept;
    uint64_t local_free, xfree;
    uint32_t run_pages;
    uint8_t size_class;
    uint8_t rest[11];
};

static struct table_entry page_table[ALL_PAGES];

static void set_live(struct hf_inspect_live *live)
{
    *live = (struct hf_inspect_live){
        .page_table = (uintptr_t)page_table,
        .entry_bytes = sizeof page_table[0],
        .xfree_mask = 0xff,
        .xfree_shift = 48,
        .list_full = LIST_FULL,
        .used = offsetof(struct table_entry, used),
        .capacity = offsetof(struct table_entry, capacity),
        .list = offsetof(struct table_entry, list),
        .kept = offsetof(struct table_entry, kept),
        .local_free = offsetof(struct table_entry, local_free),
        .xfree = offsetof(struct table_entry, xfree),
        .run_pages = offsetof(struct table_entry, run_pages),
        .size_class = offsetof(struct table_entry, size_class),
    };
}

static void put_page(size_t index, enum hf_inspect_page_state state, unsigned count)
{
    made.pages[index] = HF_PAGE_ENTRY(state, 0, 0, count);
}

/* `counts` says how many blocks are out. */
static void put_run(size_t index, enum hf_inspect_page_state state, unsigned class, unsigned theap,
                    struct table_entry counts)
{
    const struct hf_inspect_class *of = &made.classes[class];
    counts.run_pages = of->run_pages;
    counts.capacity = (uint16_t)of->run_blocks;
    counts.size_class = (uint8_t) class;
    made.pages[index] = HF_PAGE_ENTRY(state, class, theap, SHOWN_BLOCKS);
    for (size_t inside = 1; inside < of->run_pages && index + inside < ALL_PAGES; inside++)
        made.pages[index + inside] = UINT64_MAX; /* nobody may look at it */
    page_table[index] = counts;
}

/* Node 0: a row of 64 pages, and one of a large block; node 1 is free. */
static void set_pages(void)
{
    const struct table_entry sealed = { .used = 1, .list = LIST_FULL };
    put_page(0, HF_PAGE_META, 1);
    put_page(1, HF_PAGE_META, 1);
    put_run(2, HF_PAGE_OWNED, 0, 0, sealed);                                         /* all 1024 out */
    put_run(3, HF_PAGE_OWNED, 0, 0, (struct table_entry){ .used = 101, .kept = 1 }); /* 100 */
    put_run(4, HF_PAGE_IDLE, 0, 0, (struct table_entry){ .used = 640, .xfree = 40ull << 48 | 64 }); /* 600 */
    put_run(5, HF_PAGE_IDLE, 0, 0, (struct table_entry){ .used = 10 });
    put_run(6, HF_PAGE_LOOSE, 0, 0, (struct table_entry){ .used = 1024, .list = LIST_FULL, .local_free = 1 });
    put_run(7, HF_PAGE_OWNED, 1, 1, (struct table_entry){ .used = 16 });
    put_run(9, HF_PAGE_OWNED, 1, 1, (struct table_entry){ .used = 1, .kept = 1 }); /* empty */
    put_page(20, 200, 0); /* no state that there is */
    for (size_t i = 21; i < 64; i++)
        put_page(i, HF_PAGE_FREE, 0);
    put_page(64, HF_PAGE_LARGE, 70); /* over the node's end */
    for (size_t i = 65; i < NODE_PAGES; i++)
        made.pages[i] = UINT64_MAX;
}

static void set_heaps(void)
{
    static const struct hf_inspect_heap heaps[] = {
        { .id = 9,
          .last = 9,
          .held = 48 << 10,
          .most = 64 << 10,
          .limit = 64 << 10,
          .failures = 1234567,
          .made_ticks = 1,
          .flags = HF_HEAP_REGION | HF_HEAP_NODE,
          .node = 1,
          .name = "que\"ry\\\n\033[2J\303\251",
          .id_again = 9 },
        { .id = 1,
          .last = 1,
          .held = 950 << 10,
          .most = 1 << 20,
          .limit = 1 << 20,
          .soft_limit = 512 << 10,
          .crossings = 3,
          .made_ticks = 1,
          .flags = HF_HEAP_REGION,
          .node = HF_INSPECT_NO_NODE,
          .name = "cache",
          .id_again = 1 },
        { .id = 5, .last = 5, .held = 32 << 10, .flags = HF_HEAP_REGION, .name = "torn", .id_again = 4 },
        { .last = 7, .held = 16 << 10, .name = "gone" },
        { .id = 12,
          .last = 12,
          .held = 64 << 10,
          .most = 16 << 10,
          .made_ticks = 1,
          .id_again = 12,
          .flags = HF_HEAP_RESERVED,
          .node = HF_INSPECT_NO_NODE },
    };
    memcpy(made.heaps, heaps, sizeof heaps);
    made.header.other_heaps = 37;
    made.header.other_held = 592 << 10;
    made.header.other_last = 57;
    made.header.heap_failures = 1234600;
    made.nodes[0].heaps = 32 * PAGE;
    put_page(64, HF_PAGE_LARGE, 32);
    put_page(96, HF_PAGE_LARGE, 40); /* over the node's end */
    made.pages[96] |= HF_PAGE_ENTRY(0, HF_PAGE_OF_HEAPS, 0, 0);
}

/* --- changes --- */

static const struct {
    const char *name;
    size_t offset, bytes;
} words[] = {
#define WORD(name, field)                                                                                    \
    {                                                                                                        \
        name, offsetof(struct made, field), sizeof made.field                                                \
    }
    WORD("magic", header.magic),
    WORD("version", header.version),
    WORD("header_bytes", header.header_bytes),
    WORD("segment_bytes", header.segment_bytes),
    WORD("pid", header.pid),
    WORD("nodes.offset", header.nodes.offset),
    WORD("nodes.count", header.nodes.count),
    WORD("nodes.entry_bytes", header.nodes.entry_bytes),
    WORD("classes.count", header.classes.count),
    WORD("heaps.offset", header.heaps.offset),
    WORD("heaps.count", header.heaps.count),
    WORD("heaps.entry_bytes", header.heaps.entry_bytes),
    WORD("heap1.held", heaps[1].held),
    WORD("heap1.failures", heaps[1].failures),
    WORD("node1.high_water", nodes[1].high_water),
    WORD("theap0.claimed", theaps[0].claimed),
    WORD("theap0.stolen", theaps[0].stolen),
    WORD("theap0.fresh", theaps[0].fresh),
    WORD("theap0.remote_frees", theaps[0].remote_frees),
    WORD("theap0.failed", theaps[0].failed),
    WORD("theap0.kept", theaps[0].kept),
    WORD("theap0.away", theaps[0].away[0]),
    WORD("theap0.slow", theaps[0].slow[0]),
#undef WORD
};

static void set_word(const char *assignment)
{
    size_t length = strcspn(assignment, "=");
    for (size_t i = 0; i < sizeof words / sizeof words[0] && assignment[length] != 0; i++)
        if (strlen(words[i].name) == length && memcmp(words[i].name, assignment, length) == 0) {
            uint64_t value = strtoull(assignment + length + 1, NULL, 0);
            memcpy((char *)&made + words[i].offset, &value, words[i].bytes); /* little-endian */
            return;
        }
    fprintf(stderr, "made-segment: %s names nothing\n", assignment);
    exit(1);
}

static void set_words(char **assignments)
{
    for (; *assignments != NULL; assignments++)
        set_word(*assignments);
}

/* By one write: a reader sees all of it, or nothing. */
static void change(char **arguments)
{
    int fd = open(arguments[0], O_RDWR);
    CHECK(fd >= 0 && pread(fd, &made, sizeof made, 0) == sizeof made);
    CHECK(made.header.segment_bytes == sizeof made);
    set_words(arguments + 1);
    CHECK(pwrite(fd, &made, sizeof made, 0) == sizeof made);
    exit(0);
}

/* --- the file --- */

enum age { OLDER, TODAY, NEWER };

/* What the first library of this version had of a struct; or today's, or a later one's. */
static uint32_t size_at(enum age age, size_t first_bytes, size_t bytes)
{
    return (uint32_t)(age == OLDER ? first_bytes : age == TODAY ? bytes : bytes + MORE_BYTES);
}

/* The tables, in the order of the file. */
static const struct {
    const char *name;
    size_t table; /* in the header */
    size_t entries, bytes, first_bytes, count;
} tables[] = {
#define TABLE(name, first_bytes)                                                                             \
    {                                                                                                        \
#name, offsetof(struct hf_inspect_segment, name), offsetof(struct made, name),                       \
            sizeof made.name[0], first_bytes, sizeof made.name / sizeof made.name[0]                         \
    }
    TABLE(nodes, 128),  TABLE(classes, 16), TABLE(theaps, 320), TABLE(events, 48),
    TABLE(others, 320), TABLE(slow, 280),   TABLE(heaps, 128),  TABLE(pages, 8),
#undef TABLE
};
#define TABLES (sizeof tables / sizeof tables[0])

static void fill_with_ones(const char *name)
{
    if (strcmp(name, "header") == 0) {
        struct hf_inspect_segment *header = &made.header;
        memset(&header->arena_base, 0xff,
               offsetof(struct hf_inspect_segment, nodes) - offsetof(struct hf_inspect_segment, arena_base));
        memset(&header->event_count, 0xff,
               offsetof(struct hf_inspect_segment, program) -
                   offsetof(struct hf_inspect_segment, event_count));
        memset(header->library, 0xff, sizeof header->library);
        return;
    }
    for (size_t i = 0; i < TABLES; i++)
        if (strcmp(tables[i].name, name) == 0) {
            memset((char *)&made + tables[i].entries, 0xff, tables[i].count * tables[i].bytes);
            return;
        }
    fprintf(stderr, "made-segment: there is no table %s\n", name);
    exit(1);
}

static struct hf_inspect_table *table_at(size_t i)
{
    return (struct hf_inspect_table *)((char *)&made.header + tables[i].table);
}

/* Offsets and sizes; bytes of the file.  The counts of nodes and pages stay. */
static size_t lay_out(enum age age)
{
    size_t at = size_at(age, 256, sizeof made.header);
    made.header.header_bytes = (uint32_t)at;
    for (size_t i = 0; i < TABLES; i++) {
        bool is_map = tables[i].table == offsetof(struct hf_inspect_segment, pages);
        struct hf_inspect_table *table = table_at(i);
        table->offset = at;
        table->entry_bytes = is_map ? sizeof(uint64_t) : size_at(age, tables[i].first_bytes, tables[i].bytes);
        at += tables[i].count * table->entry_bytes;
    }
    made.header.segment_bytes = at;
    return at;
}

static void copy_cut(uint8_t *to, size_t to_bytes, const void *from, size_t from_bytes)
{
    memcpy(to, from, to_bytes < from_bytes ? to_bytes : from_bytes);
}

/* What is not known of a newer one is ones.  What a word of the header says moves nothing. */
static void write_file(const char *path, size_t bytes, char **assignments)
{
    uint8_t *image = malloc(bytes);
    size_t header_bytes = made.header.header_bytes;
    CHECK(image != NULL);
    memset(image, 0xff, bytes);
    for (size_t i = 0; i < TABLES; i++)
        for (size_t j = 0; j < tables[i].count; j++)
            copy_cut(image + table_at(i)->offset + j * table_at(i)->entry_bytes, table_at(i)->entry_bytes,
                     (char *)&made + tables[i].entries + j * tables[i].bytes, tables[i].bytes);
    set_words(assignments);
    copy_cut(image, header_bytes, &made.header, sizeof made.header);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && write(fd, image, bytes) == (ssize_t)bytes);
    close(fd);
    free(image);
}

static enum age parse(int argc, char **argv)
{
    static const struct option options[] = {
        { "older", no_argument, NULL, 'o' },      { "newer", no_argument, NULL, 'n' },
        { "one-node", no_argument, NULL, '1' },   { "cut-run", no_argument, NULL, 'c' },
        { "no-pages", no_argument, NULL, 'p' },   { "heaps", no_argument, NULL, 'h' },
        { "ones", required_argument, NULL, 'f' }, { NULL, 0, NULL, 0 },
    };
    enum age age = TODAY;
    for (size_t i = 0; i < TABLES; i++)
        table_at(i)->count = (uint32_t)tables[i].count;
    made.header.nodes.count = made.header.others.count = 2;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'o': age = OLDER; break;
        case 'n': age = NEWER; break;
        case '1':
            made.header.nodes.count = 1;
            made.nodes[0].total = ALL_PAGES * PAGE;
            break;
        case 'c': put_run(ALL_PAGES - 1, HF_PAGE_OWNED, 1, 1, (struct table_entry){ .used = 16 }); break;
        case 'p': made.header.pages.count = 0; break;
        case 'h': set_heaps(); break;
        case 'f': fill_with_ones(optarg); break;
        default: exit(1);
        }
    return age;
}

int main(int argc, char **argv)
{
    char path[128];
    if (argc > 2 && strcmp(argv[1], "--change") == 0)
        change(argv + 2);
    CHECK(prctl(PR_SET_NAME, "made") == 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where Yama is: any reader of ours may count blocks */
    test_segment_path(path, sizeof path);
    made.header.pid = (uint64_t)getpid();
    made.header.start_ticks = test_start_ticks();
    made.theaps[0].tid = made.header.pid;
    set_live(&made.header.live);
    set_pages();
    enum age age = parse(argc, argv);
    write_file(path, lay_out(age), argv + optind);
    puts(path);
    fflush(stdout);
    alarm(600);
    pause();
}
