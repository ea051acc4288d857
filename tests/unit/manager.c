/*
 * manager: what a service manager that waits is told while an arena is populated at start, and by whom.
 */
#include "reserve.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "kernel/manager.h"

#define BYTES (128 * HFI_MIB) /* two chunks */

static uint64_t step_ns; /* what a look at the clock takes */
static int listener = -1;
static char name[sizeof((struct sockaddr_un *)0)->sun_path];

uint64_t __wrap_hfi_os_now_coarse_ns(void);

uint64_t __wrap_hfi_os_now_coarse_ns(void)
{
    static uint64_t now;
    return now += step_ns;
}

/* By its path, or with an @ by its name. */
static void listen_at(char kind)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t bytes = offsetof(struct sockaddr_un, sun_path);
    snprintf(name, sizeof name, "%c%sholdfast-manager-%d", kind, kind == '/' ? "tmp/" : "", getpid());
    memcpy(address.sun_path, name, strlen(name));
    if (kind == '@')
        address.sun_path[0] = 0;
    listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(name);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, bytes + (socklen_t)strlen(name)), 0);
    unsetenv("SYSTEMD_EXEC_PID");
    setenv("NOTIFY_SOCKET", name, 1);
    step_ns = UINT64_C(1000000000);
    set_up();
}

static void is_main_process(void)
{
    char number[16];
    snprintf(number, sizeof number, "%d", getpid());
    setenv("SYSTEMD_EXEC_PID", number, 1);
}

static void is_another(void)
{
    setenv("SYSTEMD_EXEC_PID", "1", 1);
}

static int lowest; /* descriptor that is free before */

static void find_lowest(void)
{
    lowest = dup(2);
    close(lowest);
}

static bool no_descriptor_stays(const struct reservation *r)
{
    (void)r;
    return dup(2) == lowest;
}

static struct outcome start_arena(void (*prepare)(void))
{
    struct options options = options_of(ARENA_BYTES, BYTES, BACKING_4K);
    return run(options, prepare, NULL);
}

/* Datagrams of one start; the last one's text in `last`. */
static unsigned take_messages(char last[256], unsigned *asking)
{
    unsigned count = 0;
    ssize_t got;
    *asking = 0;
    char text[256];
    while ((got = recv(listener, text, sizeof text - 1, 0)) > 0) {
        text[got] = 0;
        count++;
        *asking += strncmp(text, "EXTEND_TIMEOUT_USEC=90000000\nSTATUS=", 36) == 0;
        strcpy(last, text);
        cr_assert_null(strstr(text, "READY="), "that the program is ready was said: %s", text);
    }
    unlink(name);
    return count;
}

static void check_told(void (*prepare)(void))
{
    char last[256] = "";
    unsigned asking;
    ASSERT_STATUS(start_arena(prepare), 0);
    unsigned count = take_messages(last, &asking);
    cr_assert_geq(count, 3, "%u messages", count);
    cr_assert_eq(count, asking, "%u of %u messages ask for time", asking, count);
    cr_assert_str_eq(last, "EXTEND_TIMEOUT_USEC=90000000\nSTATUS=\n");
}

static void check_not_told(void (*prepare)(void))
{
    char last[256] = "";
    unsigned asking;
    ASSERT_STATUS(start_arena(prepare), 0);
    unsigned count = take_messages(last, &asking);
    cr_assert_eq(count, 0, "%u messages, the last %s", count, last);
}

Test(manager, is_asked_for_time_by_path)
{
    listen_at('/');
    check_told(is_main_process);
}

Test(manager, is_asked_for_time_by_name)
{
    listen_at('@');
    check_told(NULL); /* before systemd 248 */
}

/* MG1 */
Test(manager, hears_nothing_of_the_children)
{
    listen_at('@');
    check_not_told(is_another);
}

Test(manager, hears_nothing_of_a_quick_start)
{
    listen_at('@');
    step_ns = 0;
    check_not_told(NULL);
}

Test(manager, hears_nothing_where_nothing_is_populated)
{
    listen_at('@');
    struct options options = options_of(ARENA_BYTES, BYTES, BACKING_4K);
    options.prefault = PREFAULT_NONE;
    char last[256] = "";
    unsigned asking;
    ASSERT_STATUS(run(options, NULL, NULL), 0);
    cr_assert_eq(take_messages(last, &asking), 0);
}

/* What is no address, or where nobody is, is passed over: the start goes on. */
Test(manager, may_be_anything)
{
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = 0;
    const char *const names[] = { "", "/", "@", "vsock:2:1234", "relative", "/nowhere/socket", longer };
    listen_at('@');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        check_not_told(is_main_process);
    }
}

/* A manager that reads nothing any more does not stop the start, and a filter that refuses sockets does
 * not. */
static void refuse_sockets(void)
{
    refuse(SYS_socket, 0, AF_UNIX, EAFNOSUPPORT);
}

Test(manager, may_be_out_of_reach)
{
    listen_at('@');
    check_not_told(refuse_sockets);
    for (unsigned i = 0; i < 6; i++) /* more than the queue of a socket takes */
        ASSERT_STATUS(start_arena(NULL), 0);
    close(listener);
    ASSERT_STATUS(start_arena(NULL), 0);
}

/* MG2 */
Test(manager, costs_no_descriptor)
{
    listen_at('@');
    struct options options = options_of(ARENA_BYTES, BYTES, BACKING_4K);
    ASSERT_STATUS(run(options, find_lowest, no_descriptor_stays), 0);
}
