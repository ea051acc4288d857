/*
 * explorer: three calls, interleaved as preemption could.
 *
 * Call 0 is interrupted at each of its atomic steps in turn by the whole of call 1.  Call 2 comes
 * in the middle of call 1, or at that or a later step of call 0, or not at all.  All in one thread,
 * so a fault is met again at each run; the order of memory accesses is that of the program, which a
 * weaker machine need not keep (tests/tsan.sh and the stress tests are for that).
 *
 * A program includes this once, and defines what the calls do and what must hold after them.
 */
#ifndef EXPLORER_H
#define EXPLORER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/say.h"
#include "steps.h"

#define CALLS 3
#define SHOWN_MAX 4
#define NEVER (-1L)

/* Where an assertion of the room under test ends, which is linked without the modules below it. */
void hfi_die(const char *id, const char *room, const char *format, ...)
{
    fprintf(stderr, "%s %s: %s\n", id, room, format);
    abort();
}

/* Makes call `call`: the program's. */
static void perform(int call);

/* Puts the state back to where the three calls start: the program's. */
static void restore(void);

/* NULL, or what is broken after the three calls: the program's. */
static const char *broken_now(void);

/* Prints the three calls: the program's. */
static void describe(void);

static int running = -1; /* the call that steps count for; -1: steps do not count */
static long steps_done[CALLS];
static long second_at; /* step of call 0 at which call 1 comes */
static long third_at;  /* step at which call 2 comes ... */
static int third_in;   /* ... of this call */
static long interleavings, faults;

static void run(int call)
{
    int interrupted = running;
    running = call;
    steps_done[call] = 0;
    perform(call);
    running = interrupted;
}

void model_step(void)
{
    if (running < 0)
        return;
    int call = running;
    long at = steps_done[call]++;
    if (call == 0 && at == second_at)
        run(1);
    if (call == third_in && at == third_at)
        run(2);
}

/* xorshift64* (Marsaglia 2003, Vigna 2016). */
static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 0x2545f4914f6cdd1du >> 16) % limit;
}

/* False when call 0 ended before its step `second`. */
static bool interleave(long second, int in, long third)
{
    restore();
    second_at = second;
    third_in = in;
    third_at = third;
    run(0);
    interleavings++;
    bool reached = steps_done[0] > second;
    const char *broken = broken_now();
    if (broken != NULL && faults++ < SHOWN_MAX) {
        printf("%s, when call 1 came at step %ld of call 0", broken, second);
        if (third != NEVER)
            printf(", and call 2 at step %ld of call %d", third, in);
        printf(":\n");
        describe();
    }
    return reached;
}

/* Call 1 at each step of call 0; with it call 2 at `tries` steps of call 1 and at `tries` later
 * ones of call 0. */
static inline void explore_some(int tries)
{
    for (long second = 0; interleave(second, 0, NEVER); second++)
        for (int i = 0; i < tries; i++) {
            interleave(second, 1, (long)random_below(i % 2 == 0 ? 8 : 60));
            interleave(second, 0, second + (long)random_below(i % 2 == 0 ? 6 : 40));
        }
}

/* The same with call 2 at each step of the two. */
static inline void explore_all(void)
{
    for (long second = 0; interleave(second, 0, NEVER); second++)
        for (int in = 0; in <= 1; in++)
            for (long third = in == 0 ? second : 0; interleave(second, in, third) && steps_done[in] > third;
                 third++)
                ;
}

static int explored(void)
{
    printf("%ld interleavings, %ld broken\n", interleavings, faults);
    return faults != 0;
}

#endif
