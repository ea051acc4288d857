/*
 * http: see stat.h; one request of HTTP/1.1, as much of it as a scrape takes.
 *
 * A socket of systemd (Accept=yes) starts a process for each connection, which has it as standard input
 * and output.  The head of the request is read whole, so that the answer is not lost with a reset of
 * the connection.  GET and HEAD of / and /metrics are answered; the format is OpenMetrics where the
 * request accepts it.  The connection is closed behind the answer.
 *
 * HT1: no request keeps the process: its head has HEAD_BYTES and HEAD_SECONDS.
 *
 * Test: tests/exporter.sh.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/cpu.h"
#include "stat/stat.h"

#define HEAD_BYTES 8192u
#define HEAD_SECONDS 10u

static const char openmetrics_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";
static const char plain_type[] = "text/plain; version=0.0.4; charset=utf-8";

/* Whether there is something to be read, or the end, before that moment. */
static bool wait_for_input(uint64_t end_ns)
{
    for (uint64_t now; (now = hfi_os_now_ns()) < end_ns;) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        int ready = poll(&input, 1, (int)((end_ns - now) / 1000000 + 1));
        if (ready != 0)
            return ready > 0;
    }
    return false;
}

static bool ends_head(const char *head)
{
    return strstr(head, "\r\n\r\n") != NULL || strstr(head, "\n\n") != NULL;
}

/* 0, or the status of an answer. */
static int read_head(char head[HEAD_BYTES])
{
    size_t length = 0;
    uint64_t end_ns = hfi_os_now_ns() + HEAD_SECONDS * UINT64_C(1000000000);
    head[0] = 0;
    while (!ends_head(head)) {
        if (length + 1 == HEAD_BYTES)
            return 431;
        if (!wait_for_input(end_ns))
            return 408;
        ssize_t got = read(STDIN_FILENO, head + length, HEAD_BYTES - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || memchr(head + length, 0, (size_t)got) != NULL)
            return 400;
        length += (size_t)got;
        head[length] = 0;
    }
    return 0;
}

/* What a request line asks for: a status. */
static int understand(const char *head, bool *without_body)
{
    char method[16], path[256], version[16];
    if (sscanf(head, "%15[A-Z] %255[^ \r\n] %15[^ \r\n]", method, path, version) != 3 ||
        strncmp(version, "HTTP/1.", 7) != 0)
        return 400;
    *without_body = strcmp(method, "HEAD") == 0;
    if (!*without_body && strcmp(method, "GET") != 0)
        return 405;
    path[strcspn(path, "?")] = 0;
    return strcmp(path, "/") == 0 || strcmp(path, "/metrics") == 0 ? 200 : 404;
}

/* Whether the value of its Accept has OpenMetrics in it. */
static bool accepts_openmetrics(const char *head)
{
    for (const char *line = strchr(head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, "accept:", 7) != 0)
            continue;
        const char *found = strstr(line, "application/openmetrics-text");
        if (found != NULL && found < line + strcspn(line, "\r\n"))
            return true;
    }
    return false;
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    default: return "Bad Request";
    }
}

static void print_answer(int status, const char *type, const char *body, size_t length, bool without_body)
{
    printf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", status,
           reason_of(status), type, length, status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (!without_body)
        fwrite(body, 1, length, stdout);
}

static void print_refusal(int status, bool without_body)
{
    char body[64];
    snprintf(body, sizeof body, "%s; the metrics are at /metrics\n", reason_of(status));
    print_answer(status, "text/plain; charset=utf-8", body, strlen(body), without_body);
}

int stat_serve(void)
{
    static char head[HEAD_BYTES];
    bool without_body = false;
    signal(SIGPIPE, SIG_IGN); /* who asked may have gone */
    int status = read_head(head);
    if (status == 0)
        status = understand(head, &without_body);
    if (status != 200) {
        print_refusal(status, without_body);
        return fflush(stdout) != 0;
    }
    bool open = accepts_openmetrics(head), whole = false;
    char *body = NULL;
    size_t length = 0;
    if (stat_kept_begin()) {
        whole = stat_metrics_of_every(open ? METRICS_OPEN : METRICS_PLAIN);
        body = stat_kept_end(&length);
    }
    if (body == NULL || !whole)
        print_refusal(500, without_body);
    else
        print_answer(200, open ? openmetrics_type : plain_type, body, length, without_body);
    free(body);
    return fflush(stdout) != 0;
}
