/*
 * descriptor: a fork waits for a file that another thread has open, and who opens one for a fork; neither
 * for itself, and neither for ever.
 */
#include "base/descriptor.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic(bool) began, got_on;

static void *opens(void *unused)
{
    began = true;
    hfi_descriptor_begin();
    got_on = true;
    hfi_descriptor_end();
    return unused;
}

static void *forks(void *unused)
{
    began = true;
    hfi_descriptor_forking();
    got_on = true;
    hfi_descriptor_forked();
    return unused;
}

/* Starts the other side, which is to wait, and looks whether it does. */
static pthread_t start(void *(*other)(void *))
{
    pthread_t thread;
    hfi_descriptor_wait_ms = 60000;
    cr_assert_eq(pthread_create(&thread, NULL, other, NULL), 0);
    while (!began)
        usleep(100);
    usleep(5000);
    cr_expect_not(got_on);
    return thread;
}

Test(descriptor, fork_waits_for_an_open_file)
{
    hfi_descriptor_begin();
    pthread_t thread = start(forks);
    hfi_descriptor_end();
    pthread_join(thread, NULL);
    cr_expect(got_on);
}

Test(descriptor, open_waits_for_a_fork)
{
    hfi_descriptor_forking();
    pthread_t thread = start(opens);
    hfi_descriptor_forked();
    pthread_join(thread, NULL);
    cr_expect(got_on);
}

Test(descriptor, nobody_waits_for_ever)
{
    pthread_t thread;
    hfi_descriptor_begin();
    cr_assert_eq(pthread_create(&thread, NULL, forks, NULL), 0);
    pthread_join(thread, NULL);
    cr_expect(got_on);
    hfi_descriptor_end();
}

/* Else a fork of this thread would take as long as the longest wait. */
Test(descriptor, nobody_waits_for_itself, .timeout = 5)
{
    for (int i = 0; i < 1000; i++) {
        hfi_descriptor_begin();
        hfi_descriptor_forking();
        hfi_descriptor_begin();
        hfi_descriptor_end();
        if (i % 2 == 0)
            hfi_descriptor_forked();
        else
            hfi_descriptor_in_child();
        hfi_descriptor_end();
    }
}

static void *opens_often(void *unused)
{
    for (int i = 0; i < 1000; i++)
        opens(NULL);
    return unused;
}

/* A thread may end in another library's handler. */
Test(descriptor, opens_wait_in_vain_once, .timeout = 10)
{
    pthread_t thread;
    hfi_descriptor_forking();
    cr_assert_eq(pthread_create(&thread, NULL, opens_often, NULL), 0);
    pthread_join(thread, NULL);
}

/* A child of clone may have the count of a thread that is not there. */
Test(descriptor, forks_wait_in_vain_once, .timeout = 10)
{
    pthread_t thread;
    hfi_descriptor_begin();
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(pthread_create(&thread, NULL, forks, NULL), 0);
        pthread_join(thread, NULL);
    }
    hfi_descriptor_end();
}
