/*
 * late: a threaded program brings the library in by dlopen, and lets it go again by dlclose.
 *
 * The program is not linked with the library: its malloc is the C library's.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/stat.h>

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

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(int);
    } cases[] = { { "closed", case_closed }, { "environment", case_environment } };
    char said[4096];
    bool passed = true;
    if (access(LIBRARY, R_OK) != 0) {
        printf("there is no %s here\n", LIBRARY);
        return 77;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = test_in_child(cases[i].run, 0, said, sizeof said);
        printf("%s: status %d\n%s", cases[i].name, status, said);
        passed = passed && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return passed ? 0 : 1;
}
