// victim-processes: what happens to the process while it allocates: forks, cancelled threads,
// threads in the middle of calls (a storm), callbacks.
#include "victim.h"

#include <atomic>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace
{

constexpr unsigned child_seconds = 20;

bool may_callback_fork;
pthread_mutex_t callers_mutex = PTHREAD_MUTEX_INITIALIZER;
void storm_forget();

// --- children ---

// Not waitpid, which is a cancellation point.
int status_of(pid_t pid)
{
    int status = 0;
    long got;
    do
        got = syscall(SYS_wait4, pid, &status, 0, nullptr);
    while (got < 0 && errno == EINTR);
    REQUIRE(got == pid);
    return status;
}

void require_ended(pid_t pid, size_t end)
{
    int status = status_of(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == FUZZ_FAILED)
        _exit(FUZZ_FAILED); // it has told what failed
    if (end == FUZZ_END_ABORT)
        REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && shared->aborts == (int)pid);
    else if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fail("child's wait status", status, "ends well", nullptr);
}

void become_child()
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    alarm(process.depth < 3 ? child_seconds - 5 * process.depth : 5);
    process.depth++;
    process.inherits = process.inherits || storm_runs();
    process.loses = true; // of a process with threads: what those had free (fork.c)
    may_callback_fork = false;
    callers_mutex = PTHREAD_MUTEX_INITIALIZER; // the thread that is to be cancelled holds it
    process.no_arena = process.no_arena || process.dontfork;
    lanes_forget();
    storm_forget();
    if (process.dontfork)
        blocks_forget();
}

// The command that ends the child which the one at `at` forks.
unsigned end_of_child(unsigned at)
{
    unsigned depth = 1;
    for (at++; at < command_count; at++) {
        depth += commands[at].kind == FUZZ_fork;
        depth -= commands[at].kind == FUZZ_child_ends;
        if (depth == 0)
            break;
    }
    return at;
}

void forks(const struct command *command)
{
    unsigned at = command_index(command), end = end_of_child(at);
    pid_t pid = process.depth < 3 ? fork() : -1;
    if (pid == 0) {
        process.lane = command->lane;
        become_child();
        storm_check();
        blocks_check();
        run(at + 1);
        end_process(FUZZ_END_AT_ONCE);
    }
    if (pid > 0)
        require_ended(pid, end < command_count ? commands[end].arguments[0] % FUZZ_ENDS
                                               : (size_t)FUZZ_END_AT_ONCE);
    skip_to(end + 1);
}

void spawns()
{
    static char name[] = "true";
    char *arguments[] = { name, nullptr };
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return;
    /* the loader may complain, and 2 be a full pipe */
    if (posix_spawn_file_actions_addclose(&actions, 2) == 0 &&
        posix_spawn(&pid, "/bin/true", &actions, nullptr, arguments, environ) == 0)
        status_of(pid);
    posix_spawn_file_actions_destroy(&actions);
}

// --- callbacks ---

void end_child_of_callback()
{
    child_of_callback = nullptr;
    in_step = false;
    storm_check();
    blocks_check();
    end_process(FUZZ_END_EXIT);
}

bool pressure_frees(size_t, unsigned, void *)
{
    int saved_errno = errno;
    bool freed = in_step && free_something();
    errno = saved_errno;
    return freed;
}

bool pressure_forks(size_t, unsigned, void *)
{
    int saved_errno = errno;
    if (!in_step || !may_callback_fork || process.depth > 2)
        return false;
    if (needs_parent && process.dontfork)
        return false;
    may_callback_fork = false;
    pid_t pid = fork();
    if (pid == 0) {
        become_child();
        child_of_callback = end_child_of_callback;
    } else if (pid > 0) {
        require_ended(pid, FUZZ_END_EXIT);
    }
    errno = saved_errno;
    return true;
}

bool pressure_low(const struct hf_pressure *told, void *)
{
    return pressure_frees(told->bytes, told->node, nullptr);
}

void pressure(hf_pressure_function *function)
{
    hf_pressure_unwatch(pressure_low, nullptr);
    hf_pressure_unregister(pressure_frees, nullptr);
    hf_pressure_unregister(pressure_forks, nullptr);
    may_callback_fork = true;
    if (function != nullptr)
        REQUIRE(hf_pressure_register(function, nullptr) == 0);
}

void watch_pressure()
{
    struct hf_pressure_options options = {};
    options.size_bytes = sizeof options;
    options.handler = pressure_low;
    options.low_percent = 50;
    pressure(nullptr);
    int error = hf_pressure_watch(&options);
    REQUIRE(error == 0 || (error == -ENOMEM && process.no_arena));
}

// --- a thread that is to be cancelled ---

bool came_back, went_on;

void *to_be_cancelled(void *argument)
{
    const struct command *command = (const struct command *)argument;
    REQUIRE(pthread_cancel(pthread_self()) == 0);
    REQUIRE(pthread_mutex_lock(&callers_mutex) == 0);
    run_ahead(command_index(command) + 1, (unsigned)command->arguments[0], FUZZ_CANCELLED);
    REQUIRE(pthread_mutex_unlock(&callers_mutex) == 0);
    came_back = true;
    pthread_testcancel();
    went_on = true;
    return nullptr;
}

void cancels(const struct command *command)
{
    pthread_t thread;
    void *result = nullptr;
    came_back = went_on = false;
    if (pthread_create(&thread, thread_attributes(), to_be_cancelled, (void *)command) != 0)
        return;
    REQUIRE(pthread_join(thread, &result) == 0);
    REQUIRE(came_back && !went_on && result == PTHREAD_CANCELED);
    REQUIRE(pthread_mutex_trylock(&callers_mutex) == 0);
    REQUIRE(pthread_mutex_unlock(&callers_mutex) == 0);
}

// --- a storm: threads that are in the middle of calls at any moment ---

constexpr unsigned storm_most = 2, storm_slots = 96, mailboxes = 16;

// A block stands in the table, or in a mailbox, only while it is live and marked.
struct kept {
    std::atomic<unsigned char *> block;
    std::atomic<size_t> bytes;
};

struct kept storm_blocks[storm_most][storm_slots];
std::atomic<uintptr_t *> mailbox[mailboxes]; // the first word is the size, the second its mark
std::atomic<bool> storm_goes_on;
pthread_t storm_threads[storm_most];
unsigned storm_count;

void require_marked(const unsigned char *block, size_t bytes)
{
    REQUIRE(block[0] == (unsigned char)((uintptr_t)block >> 4) && block[bytes - 1] == (unsigned char)bytes);
}

void exchange_mail(uint64_t random, size_t bytes)
{
    std::atomic<uintptr_t *> *box = &mailbox[random % mailboxes];
    uintptr_t *fresh = (uintptr_t *)malloc(bytes + 2 * sizeof(uintptr_t));
    if (fresh != nullptr) {
        fresh[0] = bytes;
        fresh[1] = ~(uintptr_t)fresh;
    }
    uintptr_t *old = box->exchange(fresh);
    if (old == nullptr)
        return;
    REQUIRE(old[1] == ~(uintptr_t)old);
    old[1] = 0;
    free(old);
}

void storm_step(struct kept *kept, size_t bytes)
{
    unsigned char *block = kept->block.load();
    if (block != nullptr) {
        require_marked(block, kept->bytes.load());
        kept->block.store(nullptr);
        free(block);
        return;
    }
    errno = 0;
    block = (unsigned char *)malloc(bytes);
    if (block == nullptr) {
        REQUIRE(errno == ENOMEM);
        return;
    }
    block[0] = (unsigned char)((uintptr_t)block >> 4);
    block[bytes - 1] = (unsigned char)bytes;
    kept->bytes.store(bytes);
    kept->block.store(block);
}

void *storms(void *argument)
{
    struct kept *mine = (struct kept *)argument;
    uint64_t random = 88172645463325252u + (uint64_t)(mine - storm_blocks[0]);
    while (storm_goes_on.load()) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t bytes = 2 + (random >> 20) % (random % 64 == 0 ? 300000 : random % 8 == 0 ? 20000 : 600);
        if (random % 5 == 0)
            exchange_mail(random >> 8, bytes);
        else
            storm_step(&mine[(random >> 8) % storm_slots], bytes);
    }
    for (unsigned i = 0; i < storm_slots; i++)
        if (mine[i].block.load() != nullptr)
            storm_step(&mine[i], 0);
    return nullptr;
}

void storm_begins(size_t count)
{
    storm_ends();
    storm_goes_on.store(true);
    for (storm_count = 0; storm_count < storm_most && storm_count < count % 4; storm_count++)
        if (pthread_create(&storm_threads[storm_count], thread_attributes(), storms,
                           storm_blocks[storm_count]) != 0)
            break;
}

// In a forked child, whose storm has vanished: its blocks are live and nobody's, but any thread
// may free them.
void storm_forget()
{
    storm_goes_on.store(false);
    storm_count = 0;
    if (!process.no_arena)
        return;
    for (auto &blocks : storm_blocks)
        for (struct kept &kept : blocks)
            kept.block.store(nullptr);
    for (auto &box : mailbox)
        box.store(nullptr);
}

} // namespace

bool storm_runs()
{
    return storm_count != 0;
}

void storm_ends()
{
    storm_goes_on.store(false);
    while (storm_count != 0)
        REQUIRE(pthread_join(storm_threads[--storm_count], nullptr) == 0);
    for (unsigned i = 0; i < mailboxes; i++)
        free(mailbox[i].exchange(nullptr));
}

// Where no storm is under way: what one that vanished has left.
void storm_check()
{
    for (auto &blocks : storm_blocks)
        for (struct kept &kept : blocks)
            if (kept.block.load() != nullptr)
                require_marked(kept.block.load(), kept.bytes.load());
    for (auto &box : mailbox)
        if (box.load() != nullptr)
            REQUIRE(box.load()[1] == ~(uintptr_t)box.load());
}

bool run_process(const struct command *command)
{
    switch (command->kind) {
    case FUZZ_fork: forks(command); break;
    case FUZZ_spawn: spawns(); break;
    case FUZZ_cancel: cancels(command); break;
    case FUZZ_storm: storm_begins(command->arguments[0]); break;
    case FUZZ_storm_ends: storm_ends(); break;
    case FUZZ_pressure_none: pressure(nullptr); break;
    case FUZZ_pressure_frees: pressure(pressure_frees); break;
    case FUZZ_pressure_low: watch_pressure(); break;
    case FUZZ_pressure_forks: pressure(pressure_forks); break;
    default: return false;
    }
    return true;
}
