/*
 * faults: what happens to a machine; see chaos.h.
 *
 * A fault begins and, after up to ten steps, ends; one that has no end happens at once.  The
 * kernel may refuse one, as it refuses to take the last CPU offline.
 */
#include "chaos.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <time.h>

#define POOL "40" /* huge pages of each node, as chaos.lab has them */

static pid_t hog, stopped;
static unsigned hidden_cpu;

static void pool_begin(void)
{
    chaos_put(chaos_any(2) == 0 ? "0" : "12",
              "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/nr_hugepages",
              chaos_any(CHAOS_NODES));
}

static void pool_end(void)
{
    for (unsigned node = 0; node < CHAOS_NODES; node++)
        chaos_put(POOL, "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/nr_hugepages", node);
}

static void cpu_begin(void)
{
    hidden_cpu = 1 + chaos_any(CHAOS_NODES - 1);
    chaos_put("0", "/sys/devices/system/cpu/cpu%u/online", hidden_cpu);
}

static void cpu_end(void)
{
    chaos_put("1", "/sys/devices/system/cpu/cpu%u/online", hidden_cpu);
}

/* Another program takes most of a node; the kernel may kill it first. */
static void hog_begin(void)
{
    unsigned long mask = 1ul << chaos_any(CHAOS_NODES);
    size_t bytes = (size_t)(100 + chaos_any(300)) << 20;
    hog = fork();
    if (hog != 0)
        return;
    chaos_put("1000", "/proc/self/oom_score_adj");
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED && syscall(SYS_mbind, memory, bytes, 2 /* MPOL_BIND */, &mask, 64ul, 0u) == 0)
        memset(memory, 1, bytes);
    for (;;)
        pause();
}

static void hog_end(void)
{
    kill(hog, SIGKILL);
    waitpid(hog, NULL, 0);
}

static void limit_begin(void)
{
    chaos_put_number((unsigned long long)(32 + chaos_any(160)) << 20, "/sys/fs/cgroup/limited/memory.max");
}

static void limit_end(void)
{
    chaos_put("max", "/sys/fs/cgroup/limited/memory.max");
}

static void huge_limit_begin(void)
{
    chaos_put_number((unsigned long long)(2 * chaos_any(40)) << 20, "/sys/fs/cgroup/limited/hugetlb.2MB.max");
}

static void huge_limit_end(void)
{
    chaos_put("max", "/sys/fs/cgroup/limited/hugetlb.2MB.max");
}

static void shm_begin(void)
{
    static const char zeros[65536];
    int fd = open("/dev/shm/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && write(fd, zeros, sizeof zeros) > 0)
        ;
    close(fd);
}

static void shm_end(void)
{
    unlink("/dev/shm/filler");
}

static void clock_jump(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += (time_t)chaos_any(200000) - 100000;
    clock_settime(CLOCK_REALTIME, &now);
}

static void kill_one(void)
{
    struct worker *worker = &chaos_workers[chaos_any(CHAOS_WORKERS)];
    if (worker->pid == 0)
        return;
    worker->killed = true;
    kill(worker->pid, SIGKILL);
}

static void stop_begin(void)
{
    stopped = chaos_workers[chaos_any(CHAOS_WORKERS)].pid;
    if (stopped != 0)
        kill(stopped, SIGSTOP);
}

static void stop_end(void)
{
    for (unsigned i = 0; i < CHAOS_WORKERS; i++) /* its number may be another's by now */
        if (stopped != 0 && chaos_workers[i].pid == stopped)
            kill(stopped, SIGCONT);
}

static void swap_begin(void)
{
    swapon("/dev/zram0", 0);
}

/* KiB of locked mappings that are in swap: each mapping's Swap line comes before its flags. */
static unsigned long locked_in_swap(pid_t pid)
{
    char path[64], line[512];
    unsigned long swapped = 0, sum = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Swap: %lu", &swapped) != 1 && strncmp(line, "VmFlags:", 8) == 0)
            sum += strstr(line, " lo") != NULL ? swapped : 0;
    }
    if (file != NULL)
        fclose(file);
    return sum;
}

static void swap_end(void)
{
    for (unsigned i = 0; i < CHAOS_WORKERS; i++)
        if (chaos_workers[i].pid != 0 && locked_in_swap(chaos_workers[i].pid) != 0)
            chaos_ok(false, "worker %u has locked memory in swap", chaos_workers[i].number);
    swapoff("/dev/zram0");
}

static void kernel_begin(void)
{
    static const char *const words[] = { "always", "madvise", "never" };
    chaos_put(words[chaos_any(3)], "/sys/kernel/mm/transparent_hugepage/enabled");
    chaos_put("3", "/proc/sys/vm/drop_caches");
    chaos_put("1", "/proc/sys/vm/compact_memory");
}

static void kernel_end(void)
{
    chaos_put("madvise", "/sys/kernel/mm/transparent_hugepage/enabled");
}

/* Somebody looks at a worker, at any moment of its life. */
static void look(void)
{
    static const char *const commands[] = { "stat", "map", "tune", "list" };
    const char *command = commands[chaos_any(4)];
    char pid[16];
    int status = 0;
    snprintf(pid, sizeof pid, "%d", chaos_workers[chaos_any(CHAOS_WORKERS)].pid);
    pid_t reader = fork();
    if (reader == 0) {
        alarm(60);
        char *arguments[] = { (char *)"/lab/holdfast", (char *)command,
                              strcmp(command, "list") == 0 ? NULL : pid, NULL };
        chaos_exec(0, NULL, arguments);
    }
    CHECK(reader > 0 && waitpid(reader, &status, 0) == reader);
    const char *log = chaos_take_log(0);
    if (WIFSIGNALED(status) && !chaos_kernel_killed(reader)) {
        chaos_ok(false, "holdfast %s ended by signal %d", command, WTERMSIG(status));
        chaos_show(log);
    }
}

static struct fault {
    const char *name;
    void (*begin)(void), (*end)(void); /* end may be NULL */
    uint64_t until;                    /* the step of its end; 0 while it is not there */
    unsigned times;
} faults[] = {
    { "pool", pool_begin, pool_end, 0, 0 },
    { "cpu", cpu_begin, cpu_end, 0, 0 },
    { "hog", hog_begin, hog_end, 0, 0 },
    { "limit", limit_begin, limit_end, 0, 0 },
    { "huge limit", huge_limit_begin, huge_limit_end, 0, 0 },
    { "shm", shm_begin, shm_end, 0, 0 },
    { "clock", clock_jump, NULL, 0, 0 },
    { "kill", kill_one, NULL, 0, 0 },
    { "stop", stop_begin, stop_end, 0, 0 },
    { "swap", swap_begin, swap_end, 0, 0 },
    { "kernel", kernel_begin, kernel_end, 0, 0 },
    { "look", look, NULL, 0, 0 },
};
#define FAULTS (sizeof faults / sizeof faults[0])

void chaos_end_faults(uint64_t step)
{
    for (struct fault *fault = faults; fault < faults + FAULTS; fault++) {
        if (fault->until != 0 && fault->until <= step) {
            fault->end();
            fault->until = 0;
        }
    }
}

void chaos_begin_fault(uint64_t step)
{
    struct fault *fault = &faults[chaos_any(FAULTS)];
    uint64_t until = step + 1 + chaos_any(10);
    if (fault->until != 0)
        return;
    printf("# step %llu: %s\n", (unsigned long long)step, fault->name);
    fault->times++;
    fault->begin();
    fault->until = fault->end != NULL ? until : 0;
}

bool chaos_fault_happened(const char *name)
{
    for (const struct fault *fault = faults; fault < faults + FAULTS; fault++)
        if (strcmp(fault->name, name) == 0)
            return fault->times > 0;
    return false;
}
