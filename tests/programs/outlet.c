/*
 * outlet: messages go to standard error while that is a place for messages, and to nothing else.
 * They wait for nobody, raise no signal, and keep errno.  What is dropped is counted, and the last
 * message is kept.
 *
 * The core is linked without the names of malloc.  Each case is a process of its own, whose
 * standard error is a pipe that the first process reads, or what the case asks for.  alarm(2) ends
 * one that waits.
 */
#include <holdfast/holdfast.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>

#include "base/say.h"

#include "test.h"

#define PEER 10 /* the other end of what is standard error at start */
#define SOME_ERRNO 77

#ifdef SYS_poll
#define THE_POLL SYS_poll
#else
#define THE_POLL SYS_ppoll /* newer architectures have this one alone */
#endif

extern char hfi_last_message[], hfi_fatal_message[];

static int own_stderr; /* what 2 was, for what the test itself has to say */
static char path[] = "/tmp/holdfast-test-XXXXXX";

static void say(const char *text)
{
    errno = SOME_ERRNO;
    hfi_say(SAY_WARNING, "HF-W000", "test", "%s", text);
    CHECK(errno == SOME_ERRNO);
}

static void fill_arena(void)
{
    while (hf_malloc((size_t)1 << 20) != NULL)
        ;
}

static void put_at_2(int fd)
{
    CHECK(fd >= 0 && dup2(fd, 2) == 2);
    close(fd);
}

static void put_back(void)
{
    CHECK(dup2(own_stderr, 2) == 2);
}

static int some_file(int flags)
{
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    return open(path, flags);
}

static bool is_in_file(const char *text)
{
    char content[65536];
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, content, sizeof content - 1);
    CHECK(length >= 0);
    content[length] = 0;
    close(fd);
    return strstr(content, text) != NULL;
}

static bool is_pending(int signal)
{
    sigset_t set;
    CHECK(sigpending(&set) == 0);
    return sigismember(&set, signal) == 1;
}

/* As a filter may: the call fails, nobody is killed. */
static void refuse(unsigned call)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* --- what is no place for messages --- */

/* A program that closed its standard error, and opened its own file next. */
static void left_alone(int flags)
{
    int fd = some_file(O_RDONLY);
    close(fd);
    close(2);
    CHECK(open(path, flags) == 2);
    say("first");
    say("second");
    fill_arena();
    off_t bytes = lseek(2, 0, SEEK_END);
    unlink(path);
    put_back();
    CHECK(bytes == 0);
    CHECK(strstr(hfi_last_message, "HF-E012") != NULL &&
          strstr(hfi_last_message, "are what HOLDFAST_ARENA names; raise HOLDFAST_ARENA") != NULL);
}

static void case_database(void)
{
    left_alone(O_RDWR);
}

static void case_database_for_appending(void)
{
    left_alone(O_WRONLY | O_APPEND | O_CLOEXEC);
}

/* A client's connection, accepted as 2. */
static void case_client(void)
{
    int ends[2];
    char byte;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    put_at_2(ends[0]);
    say("first");
    bool silent = recv(ends[1], &byte, 1, MSG_DONTWAIT) < 0;
    put_back();
    CHECK(silent);
}

static void case_closed(void)
{
    close(2);
    say("first");
    put_back();
    CHECK(strstr(hfi_last_message, "warning HF-W000 test: first") != NULL);
}

/* The file of start, but opened another way: its inode may have been another's. */
static void case_same_inode(void)
{
    char target[64];
    ssize_t length = readlink("/proc/self/fd/2", target, sizeof target - 1);
    CHECK(length > 0);
    target[length] = 0;
    put_at_2(open(target, O_RDWR));
    unlink(target);
    say("first");
    CHECK(lseek(2, 0, SEEK_END) == 0);
}

/* --- what is one --- */

static void case_log(void)
{
    put_at_2(some_file(O_WRONLY | O_APPEND));
    say("into the log");
    fill_arena();
    bool there = is_in_file("into the log") && is_in_file("HF-E012");
    unlink(path);
    put_back();
    CHECK(there);
}

static void case_file_of_start(void)
{
    char content[256];
    say("into the file");
    ssize_t length = pread(PEER, content, sizeof content - 1, 0);
    CHECK(length > 0);
    content[length] = 0;
    CHECK(strstr(content, "into the file") != NULL);
}

static void case_socket_of_start(void)
{
    char content[256];
    say("into the socket");
    ssize_t length = recv(PEER, content, sizeof content - 1, MSG_DONTWAIT);
    CHECK(length > 0);
    content[length] = 0;
    CHECK(strstr(content, "into the socket") != NULL);
    for (int i = 0; i < 10000; i++)
        say("nobody reads");
    close(PEER);
    say("nobody can read");
    CHECK(!is_pending(SIGPIPE));
}

static void case_terminal(void)
{
    char content[256];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    put_at_2(open(ptsname(terminal), O_RDWR | O_NOCTTY));
    say("on the screen");
    ssize_t length = read(terminal, content, sizeof content - 1);
    bool shown = length > 0 && memmem(content, (size_t)length, "on the screen", 13) != NULL;
    CHECK(tcflow(2, TCOOFF) == 0);
    say("stopped");
    CHECK(tcflow(2, TCOON) == 0);
    put_back();
    CHECK(shown);
    say("again");
}

/* stty tostop: a process in the background is stopped when it writes, but not by a message. */
static void case_background(void)
{
    int status, terminal = posix_openpt(O_RDWR | O_NOCTTY);
    struct termios modes;
    CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    CHECK(setsid() > 0);
    put_at_2(open(ptsname(terminal), O_RDWR)); /* the controlling terminal */
    CHECK(tcgetattr(2, &modes) == 0);
    modes.c_lflag |= TOSTOP;
    CHECK(tcsetattr(2, TCSANOW, &modes) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(setpgid(0, 0) == 0);
        say("from behind");
        _exit(is_pending(SIGTTOU));
    }
    CHECK(waitpid(pid, &status, WUNTRACED) == pid);
    put_back();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- signals --- */

static void check_pending_stays(int signal)
{
    sigset_t set;
    struct timespec none = { 0, 0 };
    CHECK(sigemptyset(&set) == 0 && sigaddset(&set, signal) == 0 && sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(raise(signal) == 0);
    say("with one pending");
    int taken = sigtimedwait(&set, NULL, &none);
    CHECK(taken == signal && !is_pending(signal));
    say("with it blocked");
    CHECK(!is_pending(signal));
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
}

static void say_to_nobody(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    put_at_2(ends[1]);
    close(ends[0]);
    say("nobody can read");
    CHECK(!is_pending(SIGPIPE));
    fill_arena();
    check_pending_stays(SIGPIPE);
    put_back();
}

static void case_no_reader(void)
{
    say_to_nobody();
}

/* The write is made, as if the reader had gone since. */
static void case_no_reader_unseen(void)
{
    refuse(THE_POLL);
    say_to_nobody();
}

static void case_file_too_large(void)
{
    struct rlimit limit = { 100, 100 };
    put_at_2(some_file(O_WRONLY | O_APPEND));
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (int i = 0; i < 5; i++)
        say("as much as there is room for");
    check_pending_stays(SIGXFSZ);
    unlink(path);
    put_back();
    say("afterwards"); /* says how many were dropped, on a line of its own */
}

/* --- no waiting --- */

static int fill_pipe(void)
{
    int ends[2];
    char byte = 'x';
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    while (write(ends[1], &byte, 1) == 1)
        ;
    CHECK(fcntl(ends[1], F_SETFL, 0) == 0);
    put_at_2(ends[1]);
    return ends[0];
}

static void say_into_full_pipe(void)
{
    char content[4096];
    int reader = fill_pipe();
    for (int i = 0; i < 3; i++)
        say("no room");
    while (read(reader, content, sizeof content) > 0)
        ;
    say("room");
    ssize_t length = read(reader, content, sizeof content - 1);
    put_back();
    CHECK(length > 0);
    content[length] = 0;
    CHECK(strstr(content, "warning HF-W009 say: 3 lines before this one could not be written; ") != NULL);
    CHECK(strstr(content, "warning HF-W000 test: room\n") != NULL && strstr(content, "no room") == NULL);
}

static void case_full_pipe(void)
{
    say_into_full_pipe();
    int reader = fill_pipe();
    fill_arena();
    close(reader);
    put_back();
    CHECK(strstr(hfi_last_message, "HF-E012") != NULL);
}

static void case_full_pipe_unseen(void)
{
    refuse(THE_POLL);
    say_into_full_pipe();
}

static void aborted(int signal)
{
    bool kept = strstr(hfi_fatal_message, "error HF-E399 test: the end") != NULL;
    (void)signal;
    _exit(kept && strstr(hfi_last_message, "before") != NULL ? 0 : 1);
}

static void case_dies_on_full_pipe(void)
{
    fill_pipe();
    signal(SIGABRT, aborted);
    say("before");
    hfi_die("HF-E399", "test", "the end");
}

/* --- all of them --- */

enum start { START_PIPE, START_FILE, START_SOCKET };

static const struct test_case {
    const char *name;
    void (*run)(void);
    enum start start;
    const char *says;
} cases[] = {
    { "database", case_database, START_PIPE, "" },
    { "database-for-appending", case_database_for_appending, START_PIPE, "" },
    { "client", case_client, START_PIPE, "" },
    { "closed", case_closed, START_PIPE, "" },
    { "same-inode", case_same_inode, START_FILE, "" },
    { "log", case_log, START_PIPE, "" },
    { "file-of-start", case_file_of_start, START_FILE, "" },
    { "socket-of-start", case_socket_of_start, START_SOCKET, "" },
    { "terminal", case_terminal, START_PIPE, "HF-W009 say: 1 lines" },
    { "background", case_background, START_PIPE, "" },
    { "no-reader", case_no_reader, START_PIPE, "" },
    { "no-reader-unseen", case_no_reader_unseen, START_PIPE, "" },
    { "file-too-large", case_file_too_large, START_PIPE, "HF-W009 say: 6 lines" },
    { "full-pipe", case_full_pipe, START_PIPE, "" },
    { "full-pipe-unseen", case_full_pipe_unseen, START_PIPE, "" },
    { "dies-on-full-pipe", case_dies_on_full_pipe, START_PIPE, "" },
};

static void start_case(int number)
{
    const struct test_case *test = &cases[number];
    int ends[2];
    setenv("HOLDFAST_TEST_CASE", test->name, 1);
    setenv("HOLDFAST_ARENA", "8M", 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    if (test->start == START_FILE) {
        put_at_2(some_file(O_WRONLY));
        CHECK(dup2(open(path, O_RDONLY), PEER) == PEER);
        CHECK(test->run == case_same_inode || unlink(path) == 0);
    } else if (test->start == START_SOCKET) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && dup2(ends[1], PEER) == PEER);
        put_at_2(ends[0]);
        close(ends[1]);
    }
    execl("/proc/self/exe", "outlet", (char *)NULL);
    CHECK(!"exec");
}

static void run_case(const struct test_case *test)
{
    alarm(60);
    own_stderr = dup(2);
    hf_free(hf_malloc(1));
    test->run();
    exit(0);
}

int main(void)
{
    const char *name = getenv("HOLDFAST_TEST_CASE");
    bool failed = false;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char said[8192];
        if (name != NULL && strcmp(name, cases[i].name) == 0)
            run_case(&cases[i]);
        if (name != NULL)
            continue;
        int status = test_in_child(start_case, (int)i, said, sizeof said);
        bool good = status == 0 && strstr(said, cases[i].says) != NULL;
        printf("%s %s\n", good ? "ok" : "FAILED", cases[i].name);
        if (!good)
            printf("wait status %#x, said: %s\n", (unsigned)status, said);
        failed = failed || !good;
    }
    return failed;
}
