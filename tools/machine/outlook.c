/*
 * outlook: see outlook.h.
 *
 * LK1: a description is loaded by a child process with bounds on its time and memory, which hands
 *      plain numbers back.  hwloc trusts what it reads, and may end or never come back.
 *
 * Test: tests/tool-plan.sh.
 */
#include "machine/outlook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/segment.h"
#include "kernel/machine.h"

#define DESCRIPTION_CPU_SECONDS 5
#define DESCRIPTION_MEMORY_BYTES ((rlim_t)2 * HFI_GIB)
#define DESCRIPTION_SHOWN 64

/* --- a described machine --- */

/* What the child hands back. */
struct answer {
    struct topology topology;
    int error;
};

static void limit(int resource, rlim_t most)
{
    struct rlimit bounds;
    if (getrlimit(resource, &bounds) == 0 && (bounds.rlim_max == RLIM_INFINITY || bounds.rlim_max > most)) {
        bounds.rlim_cur = bounds.rlim_max = most;
        setrlimit(resource, &bounds);
    }
}

static void load_as_child(struct answer *answer, const char *path, const char *synthetic)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        dup2(null, fd); /* what went wrong is said once, by us */
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, DESCRIPTION_CPU_SECONDS);
    limit(RLIMIT_DATA, DESCRIPTION_MEMORY_BYTES);
    answer->error = hfi_topology_describe(&answer->topology, path, synthetic);
    _exit(0);
}

/* `ended`: by the child's wait status, hwloc did not come to an end of its own. */
static int say_refused(const char *shown, bool file, bool ended, const char *command)
{
    if (ended)
        hfi_say(SAY_ERROR, "HF-E455", command,
                "hwloc did not get to the end of %s within %d s and %llu GiB; describe fewer cores, or name "
                "a file "
                "of `lstopo file.xml`",
                shown, DESCRIPTION_CPU_SECONDS, (unsigned long long)(DESCRIPTION_MEMORY_BYTES / HFI_GIB));
    else if (file)
        hfi_say(SAY_ERROR, "HF-E451", command,
                "%s is no description of a machine with memory that hwloc understands; "
                "write one there with `lstopo file.xml`",
                shown);
    else
        hfi_say(SAY_ERROR, "HF-E452", command,
                "'%s' is neither a file nor a synthetic topology that hwloc understands; "
                "name a file of `lstopo file.xml`, or describe levels as in 'node:4 core:2 pu:1'",
                shown);
    return EXIT_CONFIG;
}

/* What load_as_child found is not believed beyond what bounds loops; sizes are clamped where they
 * are added. */
static bool is_sane(const struct topology *topology)
{
    if (topology->node_count == 0 || topology->node_count > HFI_MAX_NODES ||
        topology->bare_count > HFI_MAX_NODES - topology->node_count)
        return false;
    for (unsigned i = 0; i < topology->node_count + topology->bare_count; i++)
        if (topology->nodes[i].id >= HFI_MAX_NODES)
            return false;
    return true;
}

static int describe(struct topology *topology, const char *description, const char *command)
{
    struct stat status;
    char shown[DESCRIPTION_SHOWN];
    tool_printable(shown, sizeof shown, description);
    bool file = stat(description, &status) == 0;
    int ended;
    if (file && (!S_ISREG(status.st_mode) || access(description, R_OK) != 0)) {
        hfi_say(SAY_ERROR, "HF-E450", command, "%s cannot be read (%s); name a file of `lstopo file.xml`",
                shown, S_ISREG(status.st_mode) ? strerror(errno) : "no regular file");
        return EXIT_CONFIG;
    }
    struct answer *answer =
        mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = answer == MAP_FAILED ? -1 : fork();
    if (child < 0) {
        hfi_say(
            SAY_ERROR, "HF-E453", command,
            "no process could be started to read the description (%s); raise the process limit (ulimit -u)",
            strerror(errno));
        return EXIT_FAILURE;
    }
    if (child == 0)
        load_as_child(answer, file ? description : NULL, file ? NULL : description);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    bool finished = WIFEXITED(ended) && WEXITSTATUS(ended) == 0;
    bool understood = finished && answer->error == 0 && is_sane(&answer->topology);
    if (understood)
        memcpy(topology, &answer->topology, sizeof *topology);
    munmap(answer, sizeof *answer);
    return understood ? 0 : say_refused(shown, file, !finished, command);
}

/* All of a described machine; nobody else is on it, and no cgroup. */
static size_t memory_bytes(const struct topology *topology)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < topology->node_count; i++)
        if (__builtin_add_overflow(sum, topology->nodes[i].memory_bytes, &sum))
            return SIZE_MAX;
    return sum;
}

/* --- where it stands --- */

bool outlook_pool(const struct outlook *outlook, unsigned id, enum option_backing backing,
                  struct os_huge_pool *pool)
{
    return outlook->described == NULL &&
           hfi_os_huge_pool(pool, id, outlook->topology.node_count == 1, hfi_backing_page_bytes(backing));
}

const char *outlook_pool_mend(char *text, size_t text_bytes, const struct os_huge_pool *pool, uint64_t pages)
{
    uint64_t lack = pages - hfi_min(pages, pool->free_pages);
    text[0] = 0;
    if (lack != 0 && pool->bounded)
        snprintf(text, text_bytes,
                 "let the cgroup have %llu pages more (hugetlb.*.max; Kubernetes: hugepages-2Mi)",
                 (unsigned long long)lack);
    else if (lack != 0)
        snprintf(text, text_bytes, "echo %llu > %s", (unsigned long long)(pool->total_pages + lack),
                 pool->path);
    return text;
}

uint64_t outlook_copies(const struct outlook *outlook, uint64_t amount)
{
    uint64_t copies;
    if (outlook->options.fork == FORK_DONTFORK)
        return 0;
    return __builtin_mul_overflow(amount, (uint64_t)outlook->forks, &copies) ? UINT64_MAX / 2 : copies;
}

static uint64_t pages_of_backing(const struct outlook *outlook, const struct reserved_node *part,
                                 enum option_backing backing)
{
    if (!outlook->named || !hfi_backing_is_asked(outlook->options.backing, backing, part->bytes))
        return 0;
    return hfi_divide_up(part->bytes, hfi_backing_page_bytes(backing));
}

uint64_t outlook_pages(const struct outlook *outlook, const struct reserved_node *part,
                       enum option_backing backing)
{
    return outlook->pages[part - outlook->reservation.nodes][backing];
}

static enum option_backing stop_at(const struct outlook *outlook, const struct reserved_node *part)
{
    struct os_huge_pool pool;
    enum option_backing asked = outlook->options.backing;
    if (outlook->described != NULL && outlook->named)
        return asked == BACKING_AUTO ? BACKING_2M : asked;
    for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++) {
        uint64_t needed = outlook_pages(outlook, part, backing);
        if (needed != 0 && outlook_pool(outlook, part->id, backing, &pool) && pool.free_pages >= needed)
            return backing;
    }
    return asked == BACKING_4K || (outlook->described == NULL && !hfi_os_has_thp()) ? BACKING_4K
                                                                                    : BACKING_THP;
}

/* The only node has all of the memory, even where its own file has not heard of some (hotplug). */
uint64_t outlook_node_memory(const struct outlook *outlook, const struct topology_node *node)
{
    return outlook->topology.node_count == 1 && outlook->described == NULL
             ? hfi_max(node->memory_bytes, hfi_os_usable_bytes())
             : node->memory_bytes;
}

const struct reserved_node *outlook_part(const struct outlook *outlook, unsigned index,
                                         enum option_backing *backing)
{
    for (unsigned i = 0; i < outlook->reservation.node_count; i++)
        if (outlook->reservation.nodes[i].id == outlook->topology.nodes[index].id) {
            if (backing != NULL)
                *backing = outlook->backing[i];
            return &outlook->reservation.nodes[i];
        }
    return NULL;
}

static void add_up(struct outlook *outlook)
{
    const struct reservation *reservation = &outlook->reservation;
    struct plan_part parts[HFI_PLAN_PARTS_MAX];
    for (unsigned i = 0; i < reservation->node_count; i++) {
        const struct reserved_node *part = &reservation->nodes[i];
        outlook->total_bytes += part->bytes;
        outlook->small_bytes += outlook->backing[i] >= BACKING_THP ? part->bytes : 0;
        outlook->owners_bytes += hfi_plan_owners_slice(reservation, part).bytes;
        outlook->table_bytes += hfi_plan_table_slice(reservation, part).bytes;
        outlook->windows += hfi_plan_windows(part);
    }
    outlook->space_bytes = reservation->span + 2 * HFI_GUARD_SPACE_BYTES;
    for (unsigned i = 0, count = hfi_plan_parts(reservation, &outlook->options, parts); i < count; i++)
        outlook->space_least_bytes += parts[i].bytes;
    if (outlook->options.inspect)
        outlook->segment_bytes =
            hfi_segment_bytes(reservation->node_count, outlook->total_bytes >> HFI_PAGE_SHIFT);
}

static void make_plan(struct outlook *outlook)
{
    struct reservation *reservation = &outlook->reservation;
    hfi_plan_draft(reservation, &outlook->options, &outlook->topology,
                   outlook->described != NULL ? memory_bytes(&outlook->topology) : hfi_os_usable_bytes());
    if (reservation->node_count == 0)
        return;
    outlook->asked_bytes = hfi_plan_asked(reservation);
    outlook->capped = hfi_plan_cap(reservation);
    hfi_plan_order(reservation, &outlook->topology);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct reserved_node *part = &reservation->nodes[i];
        for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++)
            /* of the size before it is rounded */
            outlook->pages[i][backing] = pages_of_backing(outlook, part, backing);
        outlook->backing[i] = stop_at(outlook, part);
        if (outlook->named)
            part->bytes = hfi_align_up(part->bytes, hfi_backing_unit_bytes(outlook->backing[i]));
    }
    hfi_plan_span(reservation);
    /* no address of anything: distances alone count */
    hfi_plan_place(reservation, (char *)(uintptr_t)HFI_GIB);
    add_up(outlook);
}

/* What is asked about is the arena of the program that HOLDFAST_ONLY names, and this is not it. */
static void read_options(struct options *options)
{
    const char *only = getenv("HOLDFAST_ONLY");
    char *kept = only != NULL && hfi_option_parse_only(options, only) ? strdup(only) : NULL;
    if (kept != NULL)
        unsetenv("HOLDFAST_ONLY");
    hfi_options_read(options);
    if (kept != NULL)
        setenv("HOLDFAST_ONLY", kept, 1);
    free(kept);
}

int outlook_load(struct outlook *outlook, const char *description, const char *command)
{
    memset(outlook, 0, sizeof *outlook);
    read_options(&outlook->options);
    outlook->named = outlook->options.arena != ARENA_AUTO;
    outlook->described = description;
    if (description == NULL) {
        outlook->error = hfi_topology_load(&outlook->topology, false);
    } else {
        int status = describe(&outlook->topology, description, command);
        if (status != 0)
            return status;
    }
    make_plan(outlook);
    return 0;
}

size_t outlook_beside_pools(const struct outlook *outlook)
{
    return outlook->small_bytes + outlook->owners_bytes + outlook->table_bytes;
}
