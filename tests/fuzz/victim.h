/*
 * victim: what its parts share. See victim.cc.
 */
#ifndef FUZZ_VICTIM_H
#define FUZZ_VICTIM_H

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <holdfast/holdfast.h>
#include <pthread.h>
#include <unistd.h>

#include "commands.h"

struct command {
    unsigned lane;
    fuzz_kind kind;
    size_t arguments[FUZZ_ARGUMENTS];
    unsigned line; // in the sequence's text
};

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail(__FILE__, __LINE__, #condition, __builtin_frame_address(0));                                \
    } while (0)

// Tells the driver and ends the process.
[[noreturn]] void fail(const char *file, int line, const char *condition, const void *frame);

// What this process is, and what it may be asked for.
struct process {
    unsigned depth; // of forks
    bool no_arena;  // a child of HOLDFAST_FORK=dontfork
    bool loses;     // memory of threads that vanished: the arena need not be whole again
    bool limited;   // address space or data: memory may be refused early
    bool few_descriptors;
    bool inherits; // perhaps a descriptor that a thread of a storm had open for a moment
    bool growing, background, dontfork;
    size_t most;   // one block that a whole named arena has room for
    unsigned lane; // that leads
};

extern struct process process;
extern struct fuzz_shared *shared;
extern struct command commands[FUZZ_COMMANDS_MAX];
extern unsigned command_count;

// --- victim.cc ---
void step(const struct command *command); // by the calling thread
void run(unsigned at);                    // to the end of the child that leads, or of the sequence
void run_ahead(unsigned at, unsigned count, unsigned where); // what the calling thread may run
unsigned command_index(const struct command *command);
void skip_to(unsigned at); // the leading thread goes on there
[[noreturn]] void end_process(size_t end);
void lanes_forget(); // in a forked child
void lanes_end();
const pthread_attr_t *thread_attributes();

// --- victim-blocks.cc ---
extern thread_local bool in_step;   // not of a storm: handlers and callbacks may touch slots
extern bool needs_parent;           // a child without an arena could not go on from here
extern void (*child_of_callback)(); // set where a callback has forked and this is the child
void blocks_check();
void blocks_empty();
void blocks_forget(); // they are the parent's alone
bool free_something();
bool run_allocation(const struct command *command);
void check_whole(); // that a named arena has as much room as it had

// --- victim-processes.cc ---
bool run_process(const struct command *command);
void storm_ends();
void storm_check();
bool storm_runs();

// --- victim-descriptors.cc ---
bool run_descriptor(const struct command *command);
void descriptors_begin();
void descriptors_check();
void descriptors_before_exec();
void descriptors_note(int fd, bool open);

#endif
