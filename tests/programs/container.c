/*
 * container: the system calls that the default filter of container runtimes refuses are refused, and
 * those of namespaces are.
 *
 * Each kind of arena stands as it was asked for, strict too.  Threads, forks and the program's own view
 * work; what could not be had is said, and nothing else is.  The list is what the documentation of
 * Docker's default profile names, with what it came to refuse since: io_uring, and clone3, which is
 * answered as if it were not there.  A unit of systemd that forbids @resources ends a process at one of
 * them.
 *
 * On a machine of several nodes mbind is missed, which tests/unit/backing.c has.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <holdfast/holdfast.h>

#include "test.h"

#define BLOCKS 1000u
#define THREADS 4u

/* With EPERM. */
static const unsigned refused[] = {
    SYS_acct,
    SYS_add_key,
    SYS_bpf,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_delete_module,
    SYS_finit_module,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fsopen,
    SYS_get_mempolicy,
    SYS_init_module,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_uring_setup,
    SYS_kcmp,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_mbind,
    SYS_migrate_pages,
    SYS_mount,
    SYS_move_mount,
    SYS_move_pages,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_perf_event_open,
    SYS_pivot_root,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_quotactl,
    SYS_reboot,
    SYS_request_key,
    SYS_set_mempolicy,
    SYS_setns,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_umount2,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vhangup,
};
#define REFUSED (sizeof refused / sizeof refused[0])

/* Those that a unit without @resources is ended for. */
static const unsigned deadly[] = {
    SYS_ioprio_set,    SYS_mbind,          SYS_migrate_pages,      SYS_move_pages,    SYS_sched_setaffinity,
    SYS_sched_setattr, SYS_sched_setparam, SYS_sched_setscheduler, SYS_set_mempolicy, SYS_setpriority
};
#define DEADLY (sizeof deadly / sizeof deadly[0])

/* Calls that kernels have had since 5.19, which runtimes answer as unknown. */
#define NEWER_THAN 450u

static struct sock_filter filter[2 * (REFUSED + DEADLY) + 8];
static unsigned short filter_length;

static void add(struct sock_filter instruction)
{
    filter[filter_length++] = instruction;
}

static void add_calls(const unsigned *calls, size_t count, unsigned answer)
{
    for (size_t i = 0; i < count; i++) {
        add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1));
        add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer));
    }
}

static void install_filter(bool unit)
{
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    if (unit)
        add_calls(deadly, DEADLY, SECCOMP_RET_KILL_PROCESS);
    add_calls(refused, REFUSED, SECCOMP_RET_ERRNO | EPERM);
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0));
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NEWER_THAN, 0, 1));
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    struct sock_fprog program = { .len = filter_length, .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(syscall(SYS_io_uring_setup, 0, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_clone3, 0, 0) == -1 && errno == ENOSYS);
}

/* --- what runs behind the filter --- */

static void *work(void *handed)
{
    uint64_t random = (uintptr_t)&random;
    void **blocks = malloc(BLOCKS * sizeof *blocks);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t bytes = test_random_size(&random, 16, 65536);
        CHECK((blocks[i] = malloc(bytes)) != NULL);
        test_mark(blocks[i], bytes);
    }
    for (size_t i = 0; i < BLOCKS; i += 2)
        free(blocks[i]);
    for (size_t i = 1; i < BLOCKS; i += 2)
        free(blocks[i]);
    free(blocks);
    free(handed);
    return NULL;
}

static int contained(void)
{
    struct hf_stats stats;
    pthread_t threads[THREADS];
    int status;
    free(malloc(1));
    CHECK(hf_prefault_wait(-1) == 0 && hf_stats_get(&stats, sizeof stats) == 0);
    CHECK(getenv("HOLDFAST_ARENA") == NULL || stats.arena == (size_t)64 << 20);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, malloc(100)) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        work(malloc(100));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

/* --- outside --- */

static const struct run {
    bool unit; /* else a container */
    const char *settings[4];
    const char *said; /* besides what was reserved; no warning, no error */
} runs[] = {
    { false, { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=4k" }, NULL },
    { false, { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=auto" }, NULL },
    { false, { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=4k", "HOLDFAST_PREFAULT=background" }, "HF-I224 " },
    { false, { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=4k", "HOLDFAST_PREFAULT=none" }, NULL },
    { false, { NULL }, NULL },
    { true, { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=4k" }, NULL },
    { true, { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=auto" }, NULL },
    { true, { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=4k", "HOLDFAST_PREFAULT=background" }, "HF-I224 " },
    { true, { NULL }, NULL },
};

static void run_contained(int index)
{
    const struct run *run = &runs[index];
    setenv("HOLDFAST_STRICT", "1", 1);
    setenv("HOLDFAST_VERBOSE", "1", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    for (size_t i = 0; i < 4 && run->settings[i] != NULL; i++)
        putenv((char *)run->settings[i]);
    install_filter(run->unit);
    execl("/proc/self/exe", "container", "contained", (char *)NULL);
    _exit(126);
}

static void check_run(int index)
{
    static char said[1 << 16];
    int status = test_in_child(run_contained, index, said, sizeof said);
    const char *wanted = runs[index].said;
    printf("case %d: status %d\n%s", index, status, said);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(wanted == NULL || strstr(said, wanted) != NULL);
    CHECK(strstr(said, "warning") == NULL && strstr(said, "error") == NULL);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "contained") == 0)
        return contained();
    if (access("/sys/devices/system/node/node1", F_OK) == 0) {
        printf("skipped: this machine has several nodes\n");
        return 77;
    }
    unsetenv("HOLDFAST_ARENA");
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        check_run((int)i);
    return 0;
}
