/*
 * late: a threaded program brings the library in by dlopen, and lets it go again by dlclose.  A
 * fork in another thread meanwhile makes a child that has an arena too.
 *
 * The program is not linked with the library: its malloc is the C library's.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "own-syscall.h"
#include "test.h"

#define LIBRARY ".libs/libholdfast.so"

static void *(*library_malloc)(size_t);
static void (*library_free)(void *);
static pthread_barrier_t used, let_go;

static void *load(void *unused)
{
    (void)unused;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    *(void **)&library_malloc = dlsym(library, "malloc");
    *(void **)&library_free = dlsym(library, "free");
    CHECK(library_malloc != NULL && library_free != NULL);
    return library;
}

/* --- the end of a thread after dlclose --- */

static void *use(void *unused)
{
    void *block = library_malloc(100);
    CHECK(block != NULL);
    memset(block, 1, 100);
    library_free(block);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&let_go);
    return unused;
}

static void case_closed(int unused)
{
    (void)unused;
    pthread_t thread;
    void *library = load(NULL);
    pthread_barrier_init(&used, NULL, 2);
    pthread_barrier_init(&let_go, NULL, 2);
    CHECK(pthread_create(&thread, NULL, use, NULL) == 0);
    pthread_barrier_wait(&used);
    CHECK(dlclose(library) == 0);
    pthread_barrier_wait(&let_go);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(fork() != 0 || (_exit(0), true)); /* handlers of forks are there too */
}

/* --- the environment while the library is set up --- */

#define PIPE "late.fifo"

/* hwloc waits for a description of the machine, which never comes: meanwhile the environment is the
 * program's. */
static void case_environment(int unused)
{
    (void)unused;
    pthread_t thread;
    unlink(PIPE);
    CHECK(mkfifo(PIPE, 0600) == 0);
    setenv("HOLDFAST_ARENA", "16M", 1);
    setenv("HWLOC_XMLFILE", PIPE, 1);
    setenv("LATE_CHANGED", "before", 1);
    setenv("LATE_UNSET", "before", 1);
    CHECK(pthread_create(&thread, NULL, load, NULL) == 0);
    int description = open(PIPE, O_WRONLY); /* until hwloc reads */
    CHECK(description >= 0);
    bool there = getenv("PATH") != NULL;
    setenv("LATE_ADDED", "meanwhile", 1);
    setenv("LATE_CHANGED", "meanwhile", 1);
    unsetenv("LATE_UNSET");
    CHECK(close(description) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    unlink(PIPE);
    CHECK(there);
    CHECK(getenv("LATE_ADDED") != NULL && strcmp(getenv("LATE_ADDED"), "meanwhile") == 0);
    CHECK(strcmp(getenv("LATE_CHANGED"), "meanwhile") == 0);
    CHECK(getenv("LATE_UNSET") == NULL);
    void *block = library_malloc(100);
    CHECK(block != NULL);
    library_free(block);
}

/* --- a fork while the library is set up --- */

#define STEPS_MAX 1000

static sem_t at_step, forked;
static atomic_int steps_left; /* of the thread that loads, before it waits for the fork; 0: it does not */
static atomic_bool loaded;    /* it has not waited */

/* Before a call of the library that asks something of the kernel. */
static void step(void)
{
    if (atomic_load(&steps_left) > 0 && atomic_fetch_sub(&steps_left, 1) == 1) {
        sem_post(&at_step);
        while (sem_wait(&forked) != 0)
            ;
    }
}

static long test_syscall(long number, const long a[6])
{
    step();
    return test_real_syscall(number, a);
}

static void use_arena(void)
{
    void *library = load(NULL), *blocks[100];
    bool (*owns)(const void *);
    *(void **)&owns = dlsym(library, "hf_owns");
    CHECK(owns != NULL);
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        CHECK((blocks[i] = library_malloc(i * i * 10 + 1)) != NULL && owns(blocks[i]));
        memset(blocks[i], 1, i * i * 10 + 1);
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        library_free(blocks[i]);
}

static void *load_by_steps(void *number)
{
    atomic_store(&steps_left, *(int *)number);
    void *library = load(NULL);
    if (atomic_exchange(&steps_left, 0) > 0) {
        atomic_store(&loaded, true);
        sem_post(&at_step);
    }
    return library;
}

/* The status of the child, which has a child in turn. */
static int fork_and_use(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid != 0)
        return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
    alarm(10);
    atomic_store(&steps_left, 0);
    use_arena();
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        use_arena();
        exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    exit(status != 0);
}

#define NO_SUCH_STEP 3

static void fork_at(int number)
{
    pthread_t thread;
    CHECK(sem_init(&at_step, 0, 0) == 0 && sem_init(&forked, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, load_by_steps, &number) == 0);
    sem_wait(&at_step);
    int status = fork_and_use();
    sem_post(&forked); /* before all else: exit waits for the loader, which the thread is in */
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(status == 0);
    use_arena();
    exit(atomic_load(&loaded) ? NO_SUCH_STEP : 0);
}

static void case_forks(int unused)
{
    (void)unused;
    char said[4096];
    int status = 0;
    for (int number = 1; number < STEPS_MAX && status == 0; number += 1 + number / 8) {
        status = test_in_child(fork_at, number, said, sizeof said);
        if (status != 0)
            fprintf(stderr, "fork at step %d: status %x\n%s", number, (unsigned)status, said);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == NO_SUCH_STEP);
}

/* hwloc has asked for a description of the machine, which never comes: it is not asked again. */
static void case_fork_while_asking(int unused)
{
    (void)unused;
    pthread_t thread;
    unlink(PIPE);
    CHECK(mkfifo(PIPE, 0600) == 0);
    setenv("HOLDFAST_ARENA", "16M", 1);
    setenv("HWLOC_XMLFILE", PIPE, 1);
    CHECK(pthread_create(&thread, NULL, load, NULL) == 0);
    int description = open(PIPE, O_WRONLY);
    CHECK(description >= 0);
    int status = fork_and_use();
    CHECK(close(description) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    unlink(PIPE);
    CHECK(status == 0);
}

static void case_forks_growing(int unused)
{
    setenv("HOLDFAST_ARENA", "auto", 1);
    case_forks(unused);
}

static void case_forks_named(int unused)
{
    setenv("HOLDFAST_ARENA", "8M", 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    case_forks(unused);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(int);
        const char *says;
    } cases[] = {
        { "closed", case_closed, "" },
        { "environment", case_environment, "" },
        { "fork-while-asking", case_fork_while_asking, "HF-W022" },
        { "forks-growing", case_forks_growing, "" },
        { "forks-named", case_forks_named, "" },
    };
    char said[4096];
    bool passed = true;
    if (access(LIBRARY, R_OK) != 0) {
        printf("there is no %s here\n", LIBRARY);
        return 77;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fflush(NULL); /* children that exit would write it again */
        int status = test_in_child(cases[i].run, 0, said, sizeof said);
        printf("%s: status %d\n%s", cases[i].name, status, said);
        passed =
            passed && WIFEXITED(status) && WEXITSTATUS(status) == 0 && strstr(said, cases[i].says) != NULL;
    }
    return passed ? 0 : 1;
}
