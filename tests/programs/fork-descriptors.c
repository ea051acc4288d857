/*
 * fork-descriptors: four threads fork at once, while another makes a growing arena known.  No child has a
 * descriptor that the program did not open.  One or two may, on a machine that lets a thread wait for longer
 * than the library waits for it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define THREADS 4
#define FORKS 150
#define DESCRIPTORS 40
#define BLOCKS 20000

static bool ours[DESCRIPTORS];
static _Atomic(int) leaks;

static int leaked(void)
{
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (!ours[fd] && fcntl(fd, F_GETFD) >= 0)
            return fd;
    return 0;
}

static void *forks(void *argument)
{
    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            _exit(leaked());
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
        leaks += WEXITSTATUS(status) != 0;
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        ours[fd] = fcntl(fd, F_GETFD) >= 0;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, forks, NULL) == 0);
    for (int i = 0; i < BLOCKS; i++) /* past the size from which an arena is shown */
        CHECK(malloc(1000) != NULL);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    printf("%d of %d children have a descriptor of the library\n", leaks, THREADS * FORKS);
    CHECK(leaks <= 2);
    return 0;
}
