/*
 * top-screen: the terminal, keys and signals of top.
 *
 * TS1: whatever ends it, the terminal is as it was.  It ends by a key, the end of the process, a
 *      terminal that is gone, or a signal that can be caught.  Signals that ask it to end are let
 *      in while it waits, for keys or for a terminal that takes nothing.  So nothing is interrupted
 *      half-way.  A fault of its own restores the terminal with what a handler may do.  While
 *      ncurses writes, standard output is a file in memory, and what came of it is written to the
 *      terminal at once.
 * TS2: a key is answered at once, from the last sample; only the delay makes a new one.
 *
 * Test: tests/tool-top.sh.
 */
#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "base/bits.h"
#include "kernel/cpu.h"
#include "show/show.h"
#include "top/top.h"

#define KEY_ESCAPE 27
#define KEYS_EMPTY_MAX 3 /* times that a terminal is ready and has nothing: it is gone */

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
#define COUNT_OF(array) (sizeof array / sizeof array[0])

static volatile sig_atomic_t ending_signal;
static struct termios as_found;
static char restoring[128]; /* what makes the terminal leave the screen */
static int terminal = -1;   /* standard output as it was found */
static int frame = -1;      /* a file in memory, which takes its place while ncurses writes; -1: none */
static int outlet = -1;     /* the terminal, never waited for in a write; -1: it cannot be opened */
static sigset_t waiting;    /* signals that are blocked while nothing may be interrupted but a wait */

/* --- signals --- */

static void note_signal(int number)
{
    ending_signal = number;
}

/* SA_RESETHAND: the second time it ends the program, once this has returned. */
static void restore_at_fault(int number)
{
    ssize_t written = write(terminal < 0 ? STDOUT_FILENO : terminal, restoring, strlen(restoring));
    (void)written;
    tcsetattr(STDIN_FILENO, TCSANOW, &as_found);
    raise(number);
}

static void remember_terminal(void)
{
    static const char *const names[] = { "sgr0", "cnorm", "rmkx", "rmcup" };
    restoring[0] = 0;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *text = tigetstr(names[i]);
        if (text != NULL && text != (const char *)-1 && strlen(restoring) + strlen(text) < sizeof restoring)
            strcat(restoring, text);
    }
}

/* --- writing --- */

static void open_frame(void)
{
    frame = memfd_create("holdfast top", MFD_CLOEXEC);
    terminal = frame < 0 ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    outlet = open("/proc/self/fd/1",
                  O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); /* not the shell's own description */
}

/* A terminal that takes nothing, as after Ctrl-S, is waited for where signals are let in.  False
 * when one came, or when there is no terminal any more: reading its keys says so. */
static bool write_text(const char *text, size_t bytes)
{
    struct pollfd room = { .fd = outlet < 0 ? STDOUT_FILENO : outlet, .events = POLLOUT };
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = write(room.fd, text + done, bytes - done);
        if (wrote < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        done += wrote > 0 ? (size_t)wrote : 0;
        if (wrote < 0 && errno == EAGAIN)
            ppoll(&room, 1, NULL, &waiting);
        if (ending_signal != 0)
            return false;
    }
    return true;
}

/* What ncurses wrote: the file's first bytes. */
static void write_frame(size_t bytes)
{
    char text[16384];
    for (size_t at = 0; at < bytes;) {
        ssize_t got = pread(frame, text, hfi_min(sizeof text, bytes - at), (off_t)at);
        if (got <= 0 || !write_text(text, (size_t)got))
            return;
        at += (size_t)got;
    }
}

/* ncurses writes each time the cursor jumps, some sixty times a refresh: collected, they are one
 * write. */
static void refresh_terminal(void)
{
    if (terminal < 0 || lseek(frame, 0, SEEK_SET) != 0 || dup2(frame, STDOUT_FILENO) < 0) {
        refresh();
        return;
    }
    refresh();
    dup2(terminal, STDOUT_FILENO);
    off_t end = lseek(frame, 0, SEEK_CUR);
    write_frame(end < 0 ? 0 : (size_t)end);
}

static void catch_signals(void)
{
    struct sigaction ending = { .sa_handler = note_signal },
                     fault = { .sa_handler = restore_at_fault, .sa_flags = SA_RESETHAND };
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < COUNT_OF(fault_signals); i++)
        sigaction(fault_signals[i], &fault, NULL);
    for (size_t i = 0; i < COUNT_OF(ending_signals); i++) {
        sigaction(ending_signals[i], &ending, NULL);
        sigaddset(&blocked, ending_signals[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &waiting);
    for (size_t i = 0; i < COUNT_OF(ending_signals); i++)
        sigdelset(&waiting, ending_signals[i]);
}

/* Not by ncurses, which waits until the terminal has taken all: it may never. */
static void end_by_signal(void)
{
    ssize_t written = write(outlet < 0 ? STDOUT_FILENO : outlet, restoring, strlen(restoring));
    (void)written;
    tcsetattr(STDIN_FILENO, TCSANOW, &as_found);
    signal(ending_signal, SIG_DFL);
    raise(ending_signal);
    sigprocmask(SIG_SETMASK, &waiting, NULL);
}

/* --- keys --- */

static void move_by(struct top *top, long rows)
{
    struct top_sight *sight = &top->sights[top->view];
    long scroll = (long)sight->scroll + rows;
    /* drawing clamps it further */
    sight->scroll = scroll < 0 ? 0 : scroll > (long)top->rows ? top->rows : (unsigned)scroll;
}

static void sort_by(struct top *top, unsigned column)
{
    struct top_sight *sight = &top->sights[top->view];
    sight->rising = top_column_is_text(top->view, column) || (top->view == TOP_CLASSES && column == 0);
    sight->column = column;
    sight->scroll = 0;
}

static void sort_by_next(struct top *top, unsigned step)
{
    unsigned count = top_column_count(top->view);
    if (count != 0)
        sort_by(top, (top->sights[top->view].column + step + count) % count);
}

static void type_delay(struct top *top, int key)
{
    size_t length = strlen(top->prompt);
    if (key == '\n' || key == '\r' || key == KEY_ENTER) {
        bool refused = length != 0 && !top_set_delay(top, top->prompt);
        memcpy(top->refused, refused ? top->prompt : "", refused ? length + 1 : 1);
        top->prompt[0] = 0;
        top->prompting = refused; /* it is asked for again, and says why */
    } else if (key == KEY_ESCAPE) {
        top->prompting = false;
    } else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && length != 0) {
        top->prompt[length - 1] = 0;
    } else if (key >= ' ' && key <= '~' && length + 1 == sizeof top->prompt) {
        top->prompt[length - 1] = '>'; /* too long to be one: nothing is left out without a sign */
    } else if (key >= ' ' && key <= '~') {
        top->prompt[length] = (char)key; /* what is no number too, so that it is seen and refused */
        top->prompt[length + 1] = 0;
    }
}

static void sort_by_key(struct top *top, int key)
{
    for (unsigned i = 0; i < top_column_count(top->view); i++)
        if (top_column_key(top->view, i) == key)
            sort_by(top, i);
}

static void show_view(struct top *top, unsigned view)
{
    top->view = (enum top_view)(view % TOP_VIEWS);
    top->help = false;
}

/* False for the key that ends it. */
static bool obey(struct top *top, int key)
{
    if (top->prompting) {
        type_delay(top, key);
        return true;
    }
    switch (key) {
    case 'q': return false;
    case 'h':
    case '?': top->help = !top->help; break;
    case KEY_ESCAPE: top->help = false; break;
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6': show_view(top, (unsigned)(key - '1')); break;
    case '\t': show_view(top, top->view + 1); break;
    case KEY_BTAB: show_view(top, top->view + TOP_VIEWS - 1); break;
    case KEY_UP: move_by(top, -1); break;
    case KEY_DOWN: move_by(top, 1); break;
    case KEY_PPAGE: move_by(top, -(long)top_visible()); break;
    case KEY_NPAGE: move_by(top, (long)top_visible()); break;
    case KEY_HOME: move_by(top, -(long)top->rows); break;
    case KEY_END: move_by(top, (long)top->rows); break;
    case '<':
    case KEY_LEFT: sort_by_next(top, (unsigned)-1); break;
    case '>':
    case KEY_RIGHT: sort_by_next(top, 1); break;
    case 'r': top->sights[top->view].rising = !top->sights[top->view].rising; break;
    case 'd':
        top->prompting = true;
        top->prompt[0] = top->refused[0] = 0;
        break;
    default: sort_by_key(top, key); break;
    }
    return true;
}

/* --- the loop --- */

enum end { END_NOT_YET, END_KEY, END_SIGNAL, END_PROCESS, END_TERMINAL, END_UNREADABLE };

/* Waits for a key or the next sample, and does what keys say. */
static enum end wait_for_keys(struct top *top, uint64_t due_ns)
{
    static int empty;
    struct pollfd keyboard = { .fd = STDIN_FILENO, .events = POLLIN };
    uint64_t now = hfi_os_now_ns(), left = due_ns > now ? due_ns - now : 0;
    struct timespec pause = { .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };
    int ready = ppoll(&keyboard, 1, &pause, &waiting);
    if (ending_signal != 0)
        return END_SIGNAL;
    if (ready > 0 && (keyboard.revents & POLLIN) == 0)
        return END_TERMINAL;
    int key = getch(); /* after a change of size too, which no descriptor tells of */
    empty = ready > 0 && key == ERR ? empty + 1 : 0;
    for (; key != ERR; key = getch())
        if (!obey(top, key))
            return END_KEY;
    return empty < KEYS_EMPTY_MAX ? END_NOT_YET : END_TERMINAL;
}

static enum end run(struct top *top)
{
    enum end end = END_NOT_YET;
    uint64_t sampled = 0;
    while (end == END_NOT_YET) {
        uint64_t now = hfi_os_now_ns(), delay = (uint64_t)(top->delay * 1e9);
        if (sampled == 0 || now - sampled >= delay) {
            sampled = now;
            if (!target_lives(&top->target))
                return END_PROCESS;
            if (top_sample(top) != 0)
                return END_UNREADABLE;
        }
        top_draw(top);
        refresh_terminal();
        end = ending_signal != 0 ? END_SIGNAL : wait_for_keys(top, sampled + (uint64_t)(top->delay * 1e9));
    }
    return end;
}

static bool start_screen(struct top *top)
{
    const char *refused = getenv("NO_COLOR");
    tcgetattr(STDIN_FILENO, &as_found);
    if (newterm(NULL, stdout, stdin) == NULL)
        return false;
    if (tigetstr("cup") == NULL || tigetstr("cup") == (char *)-1) { /* TERM=dumb: no way to move the cursor */
        endwin();
        return false;
    }
    remember_terminal();
    open_frame();
    set_escdelay(25);
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    typeahead(-1); /* else it looks for keys every five lines */
    keypad(stdscr, TRUE);
    curs_set(0);
    top->utf8 = show_utf8();
    top->colour = has_colors() && (refused == NULL || *refused == 0) && start_color() == OK &&
                  use_default_colors() == OK;
    for (short i = 1; i < 8 && top->colour; i++)
        init_pair(i, i == COLOR_BLUE && COLORS >= 16 ? COLOR_BLUE + 8 : i, -1);
    return true;
}

static void set_sights(struct top *top)
{
    for (unsigned i = 0; i < top_column_count(TOP_THEAPS); i++)
        if (top_column_key(TOP_THEAPS, i) == 'B')
            top->sights[TOP_THEAPS].column = i;
    for (unsigned i = 0; i < top_column_count(TOP_CLASSES); i++)
        if (top_column_key(TOP_CLASSES, i) == 'H')
            top->sights[TOP_CLASSES].column = i;
    for (unsigned i = 0; i < top_column_count(TOP_HEAPS); i++)
        if (top_column_key(TOP_HEAPS, i) == 'H')
            top->sights[TOP_HEAPS].column = i;
}

/* Reads it once more, for the message. */
static int say_unreadable(struct top *top)
{
    int status = target_read(&top->target, &top->now, true, "top");
    return status != 0 ? status : EXIT_FAILURE;
}

int top_screen(struct top *top)
{
    if (!start_screen(top)) {
        const char *type = getenv("TERM");
        char name[64];
        hfi_say(SAY_ERROR, "HF-E438", "top",
                "TERM=%s is no terminal that ncurses can draw on; set TERM, or use `holdfast stat`",
                tool_printable(name, sizeof name, type == NULL ? "" : type));
        return EXIT_FAILURE;
    }
    catch_signals();
    set_sights(top);
    enum end end = run(top);
    if (end == END_SIGNAL)
        end_by_signal();
    endwin();
    switch (end) {
    case END_SIGNAL:
    case END_TERMINAL: return EXIT_FAILURE;
    case END_UNREADABLE: return say_unreadable(top);
    case END_PROCESS:
        hfi_say(SAY_INFO, "HF-I439", "top", "process %ld (%s) has ended; `holdfast list` has those that run",
                (long)top->target.pid, top->name);
        return 0;
    default: return 0;
    }
}
