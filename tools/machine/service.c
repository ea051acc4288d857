/*
 * service: see service.h.
 *
 * Limits are what the plan takes, and ROOM for what the program has beside its arena, which nobody
 * knows here: its text and stacks, files in the page cache, what goes through brk.
 *
 * Test: tests/tool-plan.sh, tests/units.sh.
 */
#include "machine/service.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_BYTES_MIN ((uint64_t)128 * HFI_MIB)
#define ROOM_SHARE 8u            /* of the arena */
#define START_SECONDS 90u        /* systemd's own DefaultTimeoutStartSec */
#define POOL_GIB_SECONDS 1u      /* to populate at worst: ten times what it takes */
#define SMALL_GIB_SECONDS 10u    /* where memory is fragmented, and gathered */
#define SHM_BYTES (64 * HFI_MIB) /* what container runtimes give /dev/shm */
#define NAME_BYTES 128

/* What an arena takes of which limit. */
struct demand {
    uint64_t pool_bytes[BACKING_2M + 1]; /* with what forked children copy */
    uint64_t small_bytes;                /* on pages that are not of a pool */
    uint64_t copied_bytes;               /* of them, by forked children */
    uint64_t maps_bytes;
    uint64_t room_bytes;
    uint64_t memory_bytes;       /* what a memory limit counts, in all */
    uint64_t lock_bytes;         /* the larger of what is locked and what a ring can register */
    enum option_backing backing; /* of all nodes; BACKING_AUTO where they are not alike */
    uint32_t seconds;            /* to populate, at worst */
};

/* What was asked for, or what auto comes to now. */
static enum option_backing wanted_backing(const struct outlook *outlook, unsigned index)
{
    enum option_backing asked = outlook->options.backing;
    return asked == BACKING_AUTO ? outlook->backing[index] : asked;
}

static void make_demand(struct demand *demand, const struct outlook *outlook)
{
    const struct reservation *reservation = &outlook->reservation;
    uint64_t total = 0, pooled = 0;
    *demand = (struct demand){ .maps_bytes = outlook->owners_bytes + outlook->table_bytes,
                               .backing = wanted_backing(outlook, 0) };
    for (unsigned i = 0; i < reservation->node_count; i++) {
        enum option_backing backing = wanted_backing(outlook, i);
        uint64_t bytes = hfi_align_up(reservation->nodes[i].bytes, hfi_backing_unit_bytes(backing));
        total += bytes;
        if (demand->backing != backing)
            demand->backing = BACKING_AUTO;
        if (backing <= BACKING_2M)
            demand->pool_bytes[backing] += bytes + outlook_copies(outlook, bytes);
        else
            demand->small_bytes += bytes;
        pooled += backing <= BACKING_2M ? bytes : 0;
    }
    demand->copied_bytes = outlook_copies(outlook, demand->small_bytes);
    demand->room_bytes = hfi_max(ROOM_BYTES_MIN, total / ROOM_SHARE);
    demand->memory_bytes = demand->small_bytes + demand->copied_bytes + demand->maps_bytes +
                           outlook->segment_bytes + demand->room_bytes;
    demand->lock_bytes = hfi_max(total, demand->small_bytes + demand->maps_bytes);
    demand->seconds = (uint32_t)(hfi_divide_up(pooled, HFI_GIB) * POOL_GIB_SECONDS +
                                 hfi_divide_up(demand->small_bytes, HFI_GIB) * SMALL_GIB_SECONDS);
}

static unsigned long long mib(uint64_t bytes)
{
    return hfi_divide_up(bytes, HFI_MIB);
}

/* --- settings --- */

enum kind { KIND_UNIT, KIND_POD };

/* Both are in double quotes; a unit has specifiers besides. */
static void print_quoted(const char *value, enum kind kind)
{
    putchar('"');
    for (; *value != 0; value++) {
        unsigned char byte = (unsigned char)*value;
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < ' ' || byte == 0x7f)
            printf("\\x%02x", byte);
        else
            printf("%c%s", byte, byte == '%' && kind == KIND_UNIT ? "%" : "");
    }
    putchar('"');
}

static void print_variable(const char *name, const char *value, enum kind kind)
{
    char assignment[PATH_MAX + 64];
    if (kind == KIND_UNIT) {
        snprintf(assignment, sizeof assignment, "%s=%s", name, value);
        printf("Environment=");
        print_quoted(assignment, kind);
        putchar('\n');
        return;
    }
    printf("  - { name: %s, value: ", name);
    print_quoted(value, kind);
    printf(" }\n");
}

/* A share is one of the memory limit, which is made for the arena: so many bytes instead. */
static void print_arena(const struct outlook *outlook, enum kind kind)
{
    char bytes[32];
    const char *asked = getenv("HOLDFAST_ARENA");
    snprintf(bytes, sizeof bytes, "%lluM", mib(outlook->total_bytes));
    print_variable("HOLDFAST_ARENA", asked == NULL || strchr(asked, '%') != NULL ? bytes : asked, kind);
}

/* The library, by the path that it is installed under. */
static const char *library_path(const struct outlook *outlook)
{
    static char path[PATH_MAX];
    char absolute[PATH_MAX];
    const char *tried, *found = tool_library(NULL, &tried);
    if (found == NULL || outlook->described != NULL)
        return tried;
    snprintf(path, sizeof path, "%s", found);
    return realpath(tried, absolute) != NULL && strcmp(absolute, path) == 0 ? tried : path;
}

static void print_environment(const struct outlook *outlook, const struct demand *demand, enum kind kind)
{
    print_variable("LD_PRELOAD", library_path(outlook), kind);
    print_arena(outlook, kind);
    print_variable("HOLDFAST_BACKING", hfi_backing_name(demand->backing), kind);
    print_variable("HOLDFAST_STRICT", "1", kind);
    for (size_t i = 0; i < hfi_option_count; i++) {
        const char *name = hfi_option_table[i].name, *value = getenv(name);
        if (value != NULL && strcmp(name, "HOLDFAST_ARENA") != 0 && strcmp(name, "HOLDFAST_BACKING") != 0 &&
            strcmp(name, "HOLDFAST_STRICT") != 0 && strcmp(name, "HOLDFAST_ONLY") != 0)
            print_variable(name, value, kind);
    }
}

static void print_part(uint64_t bytes, const char *what)
{
    char size[16];
    if (bytes != 0)
        printf("#   %-9s %s\n", checks_size(size, bytes), what);
}

/* What the memory limit is made of. */
static void print_memory(const struct outlook *outlook, const struct demand *demand)
{
    printf("# Of memory:\n");
    print_part(demand->small_bytes, "the arena");
    print_part(demand->copied_bytes, "what forked children copy of it");
    print_part(demand->maps_bytes, "its own maps");
    print_part(outlook->segment_bytes, "for inspection");
    print_part(demand->room_bytes, "for all else that the program has: change it to what that is");
}

/* --- a unit --- */

bool service_is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-";
    size_t length = strlen(name);
    return length != 0 && length < NAME_BYTES && strspn(name, letters) == length && name[0] != '.' &&
           name[0] != '-';
}

static void print_unit_limits(const struct outlook *outlook, const struct demand *demand)
{
    print_memory(outlook, demand);
    printf("MemoryMax=%lluM\n", mib(demand->memory_bytes));
    printf("# to lock what is not of a pool, and to register the arena with io_uring\n"
           "LimitMEMLOCK=%lluM\n",
           mib(demand->lock_bytes));
    if (outlook->options.prefault == PREFAULT_STARTUP)
        printf(
            "# %u s to populate at worst, and %u s; a unit of Type=notify is given them as they are needed\n"
            "TimeoutStartSec=%u\n",
            demand->seconds, START_SECONDS, START_SECONDS + demand->seconds);
}

void service_print_unit(const struct outlook *outlook, const char *name)
{
    struct demand demand;
    char program[NAME_BYTES], self[PATH_MAX];
    make_demand(&demand, outlook);
    if (!tool_self(self))
        strcpy(self, "holdfast");
    snprintf(program, sizeof program, "%s", name);
    char *suffix = strstr(program, ".service");
    if (suffix != NULL && suffix[8] == 0)
        *suffix = 0;
    printf("# /etc/systemd/system/%s.service.d/holdfast.conf\n"
           "# then: systemctl daemon-reload && systemctl restart %s\n[Service]\n",
           program, program);
    print_environment(outlook, &demand, KIND_UNIT);
    const char *only = getenv("HOLDFAST_ONLY");
    printf("# the file name of the program, should it not be the unit's\n");
    char *file = strndup(program, strcspn(program, "@"));
    print_variable("HOLDFAST_ONLY", only != NULL ? only : file, KIND_UNIT);
    free(file);
    print_unit_limits(outlook, &demand);
    printf("# after a kill, also by the kernel for want of memory: the arena as it was; RemoveIPC= would\n"
           "# remove what `holdfast stat --last %s` shows\n"
           "RemoveIPC=no\n"
           "ExecStopPost=-+%s report --last %%n -o /var/log/holdfast-%%N.html\n",
           program, self);
    char *directory = strdup(library_path(outlook)), *slash = strrchr(directory, '/');
    if (slash != NULL && slash != directory)
        *slash = 0;
    printf("# Where the unit has SystemCallFilter= or NoExecPaths=, and there alone:\n"
           "#SystemCallFilter=%smlock2 madvise membarrier\n"
           "#ExecPaths=%s\n",
           outlook->topology.alone ? "" : "mbind ", directory);
    free(directory);
}

/* --- a pod --- */

static void print_pod_limits(const struct outlook *outlook, const struct demand *demand)
{
    printf("resources:\n  limits:\n");
    printf("    memory: %lluMi\n", mib(demand->memory_bytes));
    if (demand->pool_bytes[BACKING_1G] != 0)
        printf("    hugepages-1Gi: %lluGi\n",
               (unsigned long long)hfi_divide_up(demand->pool_bytes[BACKING_1G], HFI_GIB));
    if (demand->pool_bytes[BACKING_2M] != 0)
        printf("    hugepages-2Mi: %lluMi\n", mib(demand->pool_bytes[BACKING_2M]));
    print_memory(outlook, demand);
}

static void print_pod_notes(const struct outlook *outlook, const struct demand *demand)
{
    char size[16];
    if (demand->pool_bytes[BACKING_1G] + demand->pool_bytes[BACKING_2M] != 0)
        printf("# No volume of medium: HugePages is needed: the pages are mapped without a file.\n"
               "# The node's pool must stand before its kubelet starts, which counts it once.\n");
    if (outlook->segment_bytes > SHM_BYTES)
        printf("# /dev/shm needs %s for inspection: an emptyDir of medium: Memory, mounted there.\n",
               checks_size(size, outlook->segment_bytes));
    printf("# Locks and io_uring: %lluMi of the runtime's ulimit memlock%s, or\n"
           "#   securityContext: { capabilities: { add: [IPC_LOCK] } }\n",
           mib(demand->lock_bytes), demand->small_bytes == 0 ? " to register the arena" : "");
    if (outlook->topology.node_count > 1)
        printf("# Several nodes: the seccomp profile must let mbind through, or add SYS_NICE.\n");
    printf("# A limit that the pod does not get ends its start with status 78 (HOLDFAST_STRICT).\n");
}

static void print_pod_gets(const struct outlook *outlook, const struct demand *demand)
{
    const struct reservation *reservation = &outlook->reservation;
    char a[16], b[16];
    printf("# The pod then has memory.max of %s", checks_size(a, mib(demand->memory_bytes) * HFI_MIB));
    for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++)
        if (demand->pool_bytes[backing] != 0)
            printf(", hugetlb.%s.max of %s", backing == BACKING_1G ? "1GB" : "2MB",
                   checks_size(b, demand->pool_bytes[backing]));
    printf("; and in it\n");
    for (unsigned i = 0; i < reservation->node_count; i++) {
        enum option_backing backing = wanted_backing(outlook, i);
        uint64_t bytes = hfi_align_up(reservation->nodes[i].bytes, hfi_backing_unit_bytes(backing));
        printf("#   node %u: %s on %s pages, %s\n", reservation->nodes[i].id, checks_size(a, bytes),
               hfi_backing_name(backing),
               backing <= BACKING_2M              ? "never swapped"
               : outlook->options.lock == LOCK_NO ? "not locked"
                                                  : "locked as far as memlock allows");
    }
}

void service_print_pod(const struct outlook *outlook)
{
    struct demand demand;
    make_demand(&demand, outlook);
    printf("# of the container's entry in a pod\nenv:\n");
    print_environment(outlook, &demand, KIND_POD);
    const char *only = getenv("HOLDFAST_ONLY");
    if (only != NULL)
        print_variable("HOLDFAST_ONLY", only, KIND_POD);
    else
        printf("  # - { name: HOLDFAST_ONLY, value: the program's file name }\n");
    print_pod_limits(outlook, &demand);
    print_pod_notes(outlook, &demand);
    print_pod_gets(outlook, &demand);
}
