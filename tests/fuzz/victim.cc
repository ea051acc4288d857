// victim: runs one sequence of commands (commands.h), with Holdfast as its malloc, as a program
// uses it.
//
// The leading thread goes through the sequence and hands each command to the thread of its lane,
// and waits: so a sequence does the same each time, except for storms (victim-processes.cc). A
// child that a command forks goes on with what follows up to its `child-ends`, led by the thread
// that forked, while the parent waits.
//
// Each process ends itself by alarm(2) if it hangs. What fails is told in memory shared with the
// driver.
#include "victim.h"

#include <fcntl.h>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <semaphore.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>

struct process process;
struct fuzz_shared *shared;
struct command commands[FUZZ_COMMANDS_MAX];
unsigned command_count;

namespace {

constexpr unsigned victim_seconds = 25;

struct lane {
    sem_t begin, done;
    pthread_t thread;
    bool runs, ends;
    const struct command *command; // NULL: ends the process
    size_t end;
};

struct lane lanes[FUZZ_LANES];
unsigned next_at; // the leading thread's; a lane's, while it runs a fork and that waits
pthread_key_t late_key;
bool warming_up;

// Destructors of a thread allocate once the allocator's own has run.
void late(void *round)
{
    free(malloc(100));
    if ((uintptr_t)round < 3)
        pthread_setspecific(late_key, (void *)((uintptr_t)round + 1));
}

struct later {
    std::string text;
    void grow(size_t bytes)
    {
        try {
            text = std::string(bytes, 'a');
        } catch (const std::bad_alloc &) { // the arena may be full
        }
    }
    ~later() { grow(1000); }
};

thread_local struct later later;

void at_exit()
{
    free(malloc(3000));
}

void *lane_runs(void *argument)
{
    struct lane *lane = (struct lane *)argument;
    pthread_setspecific(late_key, (void *)1);
    // Later the C library may fail to register it, and abort; a child without an arena would free it.
    if (warming_up && !process.dontfork)
        later.grow(100);
    for (;;) {
        while (sem_wait(&lane->begin) != 0)
            ;
        if (lane->ends)
            return nullptr;
        if (lane->command == nullptr)
            exit((int)lane->end);
        step(lane->command);
        sem_post(&lane->done);
    }
}

bool lane_begins(struct lane *lane)
{
    if (lane->runs)
        return true;
    if (process.no_arena) // the C library keeps of a stack what lies in the parent's arena
        return false;
    lane->ends = false;
    sem_init(&lane->begin, 0, 0);
    sem_init(&lane->done, 0, 0);
    lane->runs = pthread_create(&lane->thread, thread_attributes(), lane_runs, lane) == 0;
    return lane->runs;
}

void lane_waits(struct lane *lane)
{
    sem_post(&lane->begin);
    while (sem_wait(&lane->done) != 0)
        ;
}

void lane_ends(struct lane *lane)
{
    if (!lane->runs)
        return;
    lane->ends = true;
    sem_post(&lane->begin);
    REQUIRE(pthread_join(lane->thread, nullptr) == 0);
    lane->runs = false;
}

bool is_for_here(const struct command *command, unsigned where)
{
    return (fuzz_kinds[command->kind].where & where) == where;
}

void lead(const struct command *command)
{
    struct lane *lane = &lanes[command->lane % FUZZ_LANES];
    if (process.no_arena && (fuzz_kinds[command->kind].where & (FUZZ_FORSAKEN | FUZZ_DRIVEN)) == 0)
        return;
    if (command->kind == FUZZ_lane_ends) {
        lane_ends(&lanes[command->arguments[0] % FUZZ_LANES]);
    } else if (fuzz_kinds[command->kind].where & FUZZ_DRIVEN) {
        if (!process.no_arena)
            step(command);
    } else if (lane == &lanes[process.lane] || command->lane == 0 || !lane_begins(lane)) {
        step(command);
    } else {
        lane->command = command;
        lane_waits(lane);
    }
}

// --- the text ---

bool read_line(char *line, unsigned number)
{
    char *rest;
    char *word = strtok_r(line, " ", &rest);
    char *name = strtok_r(nullptr, " ", &rest);
    if (word == nullptr || *word < '0' || *word > '9' || name == nullptr)
        return true; // of the driver
    struct command *command = &commands[command_count];
    *command = { (unsigned)strtoul(word, nullptr, 10), FUZZ_KINDS, {}, number };
    for (unsigned kind = 0; kind < FUZZ_KINDS; kind++)
        if (strcmp(fuzz_kinds[kind].name, name) == 0)
            command->kind = (enum fuzz_kind)kind;
    for (size_t &argument : command->arguments) {
        char *text = strtok_r(nullptr, " ", &rest);
        argument = text == nullptr ? 0 : strtoull(text, nullptr, 0);
    }
    if (command->kind == FUZZ_KINDS)
        return false;
    command_count++;
    return true;
}

void read_sequence(const char *path)
{
    static char text[FUZZ_COMMANDS_MAX * 96];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    REQUIRE(length >= 0);
    close(fd);
    char *rest, *line = strtok_r(text, "\n", &rest);
    for (unsigned number = 1; line != nullptr && command_count < FUZZ_COMMANDS_MAX; number++) {
        REQUIRE(read_line(line, number));
        line = strtok_r(nullptr, "\n", &rest);
    }
}

// --- begin and end ---

void begin(const char *path)
{
    volatile char stack[256 << 10]; // which a limit of address space keeps from growing
    for (size_t at = 0; at < sizeof stack; at += 4096)
        stack[at] = 1;
    alarm(victim_seconds);
    shared = (struct fuzz_shared *)mmap(nullptr, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED,
                                        FUZZ_FD_SHARED, 0);
    if (shared == MAP_FAILED)
        _exit(78); // a limit of address space
    close(FUZZ_FD_SHARED);
    read_sequence(path);
    const char *arena = getenv("HOLDFAST_ARENA"), *prefault = getenv("HOLDFAST_PREFAULT");
    process.growing = arena == nullptr;
    process.background = prefault != nullptr && strcmp(prefault, "background") == 0;
    const char *fork = getenv("HOLDFAST_FORK");
    process.dontfork = fork != nullptr && strcmp(fork, "dontfork") == 0;
    process.limited = getenv("FUZZ_LIMITED") != nullptr;
    REQUIRE(pthread_key_create(&late_key, late) == 0 && atexit(at_exit) == 0);
    descriptors_begin();
}

void *cancelled(void *)
{
    pthread_cancel(pthread_self());
    pthread_testcancel();
    return nullptr;
}

// The C library keeps the stacks of threads that have ended, and a block for each, and what it
// needs to cancel one. These are made before there is anything else, and not in the middle of a
// full arena.
void warm_up()
{
    pthread_t thread;
    warming_up = true;
    for (struct lane &lane : lanes)
        lane_begins(&lane);
    if (pthread_create(&thread, thread_attributes(), cancelled, nullptr) == 0)
        pthread_join(thread, nullptr);
    lanes_end();
    warming_up = false;
}

void measure()
{
    if (process.growing)
        return;
    process.most = mallinfo2().fordblks / 10 * 9;
    if (!process.background)
        check_whole();
}

void note_exit()
{
    unsigned at = __atomic_fetch_add(&shared->exits, 1, __ATOMIC_RELAXED);
    if (at < sizeof shared->exit_pids / sizeof shared->exit_pids[0])
        shared->exit_pids[at] = (int)getpid();
}

void execs()
{
    char name[] = "victim";
    descriptors_before_exec();
    char *arguments[] = { name, nullptr };
    execve("/proc/self/exe", arguments, environ);
}

[[noreturn]] void lane_exits()
{
    struct lane *lane = &lanes[process.lane == 1 ? 2 : 1];
    if (!lane_begins(lane))
        exit(0);
    lane->command = nullptr;
    lane->end = 0;
    lane_waits(lane);
    abort();
}

} // namespace

void fail(const char *file, int line, const char *condition, const void *)
{
    if (shared != nullptr && __atomic_fetch_add(&shared->claimed, 1, __ATOMIC_RELAXED) == 0)
        snprintf(shared->failure, sizeof shared->failure,
                 "%s:%d: %s (errno %d, process %ld, %u forks deep), sequence's line %u", file, line,
                 condition, errno, (long)getpid(), process.depth,
                 shared->at < command_count ? commands[shared->at].line : 0);
    _exit(FUZZ_FAILED);
}

const pthread_attr_t *thread_attributes()
{
    static pthread_attr_t attributes;
    static bool made =
        pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 256 << 10) == 0;
    return made ? &attributes : nullptr;
}

unsigned command_index(const struct command *command)
{
    return (unsigned)(command - commands);
}

void skip_to(unsigned at)
{
    next_at = at;
}

void step(const struct command *command)
{
    bool was_in_step = in_step;
    __atomic_store_n(&shared->at, command_index(command), __ATOMIC_RELAXED);
    in_step = true;
    REQUIRE(run_allocation(command) || run_process(command) || run_descriptor(command));
    if (child_of_callback != nullptr) // no call that is looked at has asked
        child_of_callback();
    in_step = was_in_step;
}

// What may not be run there is passed over, and so is what a child does.
void run_ahead(unsigned at, unsigned count, unsigned where)
{
    for (next_at = at; next_at < command_count && count > 0; count--) {
        const struct command *command = &commands[next_at++];
        if (is_for_here(command, where) && (!process.no_arena || is_for_here(command, FUZZ_FORSAKEN)))
            step(command);
        else if (command->kind == FUZZ_child_ends)
            next_at--, count = 1;
    }
}

void run(unsigned at)
{
    for (next_at = at; next_at < command_count;) {
        const struct command *command = &commands[next_at++];
        if (command->kind == FUZZ_end && process.depth != 0)
            end_process(FUZZ_END_AT_ONCE);
        if (command->kind == FUZZ_end || (command->kind == FUZZ_child_ends && process.depth != 0))
            end_process(command->arguments[0] % FUZZ_ENDS);
        if (command->kind == FUZZ_child_ends)
            continue;
        lead(command);
        if (!storm_runs())
            descriptors_check();
    }
}

void end_process(size_t end)
{
    __atomic_store_n(&shared->at, command_count, __ATOMIC_RELAXED);
    storm_ends();
    storm_check();
    blocks_check();
    std::set_new_handler(nullptr);
    lanes_end();
    blocks_empty();
    check_whole();
    descriptors_check();
    if (end == FUZZ_END_ABORT) {
        shared->aborts = (int)getpid();
        abort();
    }
    // What exit goes through may lie in the parent's arena.
    if (end == FUZZ_END_AT_ONCE || (process.no_arena && end != FUZZ_END_EXEC))
        _exit(0);
    if (end == FUZZ_END_EXEC) // what is in /dev/shm goes with the process, whatever that is by then
        execs();
    note_exit();
    if (end == FUZZ_END_EXIT_OF_LANE)
        lane_exits();
    exit(0);
}

void lanes_forget()
{
    for (struct lane &lane : lanes)
        lane.runs = false;
}

void lanes_end()
{
    for (struct lane &lane : lanes)
        lane_ends(&lane);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 0; // executed at an end
    begin(argv[1]);
    warm_up();
    measure();
    run(0);
    end_process(FUZZ_END_EXIT);
}
