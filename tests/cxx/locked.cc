// A thread has the loader's lock, and keeps it until another has caught what a failing new throws, as has a
// child of fork, in which nobody ever lets go of the lock.
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>

static sem_t locked, caught;
static volatile size_t too_much = (size_t)1 << 46;

static int wait_in_loader(struct dl_phdr_info *, size_t, void *)
{
    sem_post(&locked);
    while (sem_wait(&caught) != 0)
        ;
    return 1;
}

static void *hold_lock(void *)
{
    dl_iterate_phdr(wait_in_loader, nullptr);
    return nullptr;
}

static void fail(const char *who)
{
    try {
        char *volatile block = new char[too_much];
        printf("%s has %p\n", who, block);
    } catch (std::bad_alloc &) {
        printf("%s caught it\n", who);
    }
    fflush(stdout);
}

int main()
{
    pthread_t thread;
    int status;
    alarm(20); // a thread that waits for the lock does so for ever
    sem_init(&locked, 0, 0);
    sem_init(&caught, 0, 0);
    pthread_create(&thread, nullptr, hold_lock, nullptr);
    while (sem_wait(&locked) != 0)
        ;
    fail("a thread");
    pid_t child = fork();
    if (child == 0) {
        fail("a child");
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("the child ended with %d\n", status);
    sem_post(&caught);
    pthread_join(thread, nullptr);
    return 0;
}
