/*
 * info: malloc_stats and malloc_info print what glibc's print, line by line, and their figures and
 * mallinfo2's are those of one arena: on a named one, and on one that grows, of which only what was
 * opened counts.
 */
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <malloc.h>

#include "test.h"

#define ARENA ((size_t)128 << 20)
#define LARGE ((size_t)32 << 20)
#define SMALL ((size_t)8 << 20)

struct lines {
    size_t system, used, total_system, total_used, regions, mapped;
};

struct total {
    size_t count, bytes;
};

/* Of a heap, or of all. */
struct xml {
    struct total fast, rest, mapped;
    size_t current, max, space, open;
};

static void print_stats(int unused)
{
    (void)unused;
    malloc_stats();
}

/* What a program for glibc reads: each line as it stands there, and nothing else. */
static struct lines read_stats(void)
{
    char output[2048];
    struct lines lines;
    int end = 0;
    CHECK(test_in_child(print_stats, 0, output, sizeof output) == 0);
    int found = sscanf(output,
                       "Arena 0:\nsystem bytes     = %zu\nin use bytes     = %zu\n"
                       "Total (incl. mmap):\nsystem bytes     = %zu\nin use bytes     = %zu\n"
                       "max mmap regions = %zu\nmax mmap bytes   = %zu\n%n",
                       &lines.system, &lines.used, &lines.total_system, &lines.total_used, &lines.regions,
                       &lines.mapped, &end);
    CHECK(found == 6 && output[end] == 0);
    return lines;
}

/* Reads past `format`, which has up to two numbers. */
static void pass(const char **at, const char *format, size_t *first, size_t *second)
{
    int end = -1;
    char whole[200];
    snprintf(whole, sizeof whole, "%s%%n", format);
    if (second != NULL)
        sscanf(*at, whole, first, second, &end);
    else if (first != NULL)
        sscanf(*at, whole, first, &end);
    else
        sscanf(*at, whole, &end);
    CHECK(end > 0);
    *at += end;
}

static void read_part(const char **at, struct xml *xml, bool is_sum)
{
    pass(at, "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n", &xml->fast.count, &xml->fast.bytes);
    pass(at, "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n", &xml->rest.count, &xml->rest.bytes);
    if (is_sum)
        pass(at, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", &xml->mapped.count,
             &xml->mapped.bytes);
    pass(at, "<system type=\"current\" size=\"%zu\"/>\n", &xml->current, NULL);
    pass(at, "<system type=\"max\" size=\"%zu\"/>\n", &xml->max, NULL);
    pass(at, "<aspace type=\"total\" size=\"%zu\"/>\n", &xml->space, NULL);
    pass(at, "<aspace type=\"mprotect\" size=\"%zu\"/>\n", &xml->open, NULL);
}

static char text[4096];
static FILE *stream; /* to text: opened once, as that allocates */

static struct xml read_xml(void)
{
    struct xml heap = { 0 }, sum;
    size_t from = 65536, to = 65536, bytes = 0, count = 0; /* no page is free: no line */
    rewind(stream);
    CHECK(malloc_info(0, stream) == 0 && fflush(stream) == 0);
    const char *at = text;
    pass(&at, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", NULL, NULL);
    if (strncmp(at, "<size ", 6) == 0) {
        pass(&at, "<size from=\"%zu\" to=\"%zu\"", &from, &to);
        pass(&at, " total=\"%zu\" count=\"%zu\"/>\n", &bytes, &count);
    }
    pass(&at, "</sizes>\n", NULL, NULL);
    read_part(&at, &heap, false);
    pass(&at, "</heap>\n", NULL, NULL);
    read_part(&at, &sum, true);
    CHECK(strncmp(at, "</malloc>\n", 10) == 0); /* behind it lies what was longer */
    CHECK(from == 65536 && to == 65536 && bytes == count * 65536);
    CHECK(bytes <= sum.rest.bytes && count == sum.rest.count);
    heap.mapped = sum.mapped;
    CHECK(memcmp(&heap, &sum, sizeof sum) == 0);
    return sum;
}

/* All of them speak of the same arena. */
static struct lines check_figures(void)
{
    struct lines lines = read_stats();
    struct xml xml = read_xml();
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena == info.uordblks + info.fordblks && info.keepcost <= info.fordblks);
    CHECK(lines.system == info.arena && lines.used == info.uordblks);
    CHECK(lines.mapped == info.hblkhd && lines.regions == 0);
    CHECK(lines.total_system == info.arena + info.hblkhd);
    CHECK(lines.total_used == info.uordblks + info.hblkhd);
    CHECK(xml.current == info.arena && xml.max == xml.current && xml.mapped.bytes == info.hblkhd);
    CHECK(xml.rest.bytes + xml.fast.bytes == info.fordblks && xml.fast.bytes == info.keepcost);
    CHECK(xml.open == lines.total_system && xml.space >= xml.open);
    return lines;
}

static void check_use(void)
{
    static void *blocks[SMALL / 4096];
    struct lines before = check_figures();
    void *large = malloc(LARGE);
    for (size_t i = 0; i < SMALL / 4096; i++)
        CHECK((blocks[i] = malloc(4096)) != NULL);
    struct lines after = check_figures();
    size_t mapped = after.mapped - before.mapped;
    CHECK(large != NULL && mapped >= LARGE && mapped <= LARGE + 65536);
    CHECK(after.used == before.used + SMALL);
    for (size_t i = 0; i < SMALL / 4096; i++)
        free(blocks[i]);
    free(large);
    after = check_figures();
    CHECK(after.mapped == before.mapped && after.used == before.used);
}

/* Blocks of heaps are in use as well, small and large. */
static void check_heap(void)
{
    struct hf_heap_options options = { .size_bytes = sizeof options, .flags = HF_HEAP_REGION };
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL);
    struct lines before = check_figures();
    void *small = hf_heap_malloc(heap, 1600), *large = hf_heap_malloc(heap, SMALL);
    CHECK(small != NULL && large != NULL);
    size_t bytes = malloc_usable_size(small) + malloc_usable_size(large);
    CHECK(check_figures().used == before.used + bytes && check_figures().mapped == before.mapped);
    hf_heap_destroy(heap);
    CHECK(check_figures().used == before.used);
}

int main(int argc, char **argv)
{
    stream = fmemopen(text, sizeof text, "w");
    CHECK(stream != NULL && fputs("<", stream) != EOF && fflush(stream) == 0);
    if (argc == 1) {
        setenv("HOLDFAST_BACKING", "thp", 1);
        test_on_arena(argv, "128M");
        CHECK(check_figures().total_system == ARENA);
        check_use();
        check_heap();
        CHECK(check_figures().total_system == ARENA);
        unsetenv("HOLDFAST_ARENA");
        execl("/proc/self/exe", argv[0], "growing", (char *)NULL);
        CHECK(!"exec");
    }
    check_use();
    struct lines lines = check_figures();
    CHECK(lines.total_system >= LARGE + SMALL && lines.total_system < 8 * (LARGE + SMALL));
    CHECK(read_xml().space > lines.total_system);
    return 0;
}
