/*
 * manager: see manager.h.
 *
 * MG1: only the process that the manager started speaks, where the manager says which that is
 *      (SYSTEMD_EXEC_PID).  Its children inherit the socket, and an arena of theirs is no news.
 * MG2: no socket stays open: a start holds no descriptor while the program runs.
 *
 * Test: tests/unit/manager.c.
 */
#include "kernel/manager.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/say.h"
#include "base/descriptor.h"
#include "base/sys.h"
#include "kernel/cpu.h"
#include "kernel/files.h"

#define FIRST_NS UINT64_C(100000000) /* most arenas stand by then */
#define AGAIN_NS UINT64_C(1000000000)

static struct sockaddr_un address;    /* starting thread */
static socklen_t address_bytes;       /* starting thread */
static uint64_t next_ns = UINT64_MAX; /* starting thread; UINT64_MAX: never */
static bool told;                     /* starting thread: since hfi_manager_begin */

static bool is_started_by_manager(void)
{
    uint64_t pid;
    const char *text = getenv("SYSTEMD_EXEC_PID");
    return text == NULL || (hfi_os_first_number(text, &pid) && pid == (uint64_t)hfi_sys_process());
}

/* A path, or a name behind an @ that the kernel has behind a zero byte. */
static bool find_socket(void)
{
    const char *name = secure_getenv("NOTIFY_SOCKET");
    size_t length = name == NULL ? 0 : strlen(name);
    if (length < 2 || length >= sizeof address.sun_path || (name[0] != '/' && name[0] != '@'))
        return false;
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

void hfi_manager_begin(void)
{
    told = false;
    next_ns = find_socket() && is_started_by_manager() ? hfi_os_now_coarse_ns() + FIRST_NS : UINT64_MAX;
}

bool hfi_manager_wants_news(void)
{
    return next_ns != UINT64_MAX && hfi_os_now_coarse_ns() >= next_ns;
}

static void send_text(const char *text)
{
    hfi_descriptor_begin();
    int fd = (int)hfi_sys_call(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
    if (fd < 0) {
        hfi_descriptor_end();
        return;
    }
    hfi_sys_call(SYS_sendto, fd, (long)text, (long)strlen(text), MSG_NOSIGNAL, (long)&address,
                 (long)address_bytes);
    hfi_descriptor_close(fd); /* MG2 */
}

void hfi_manager_tell(uint64_t bytes_left)
{
    char text[128], size[16];
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%u\nSTATUS=Holdfast has %s to populate yet\n",
             HFI_MANAGER_MORE_US, hfi_format_bytes(size, sizeof size, bytes_left));
    send_text(text);
    told = true;
    next_ns = hfi_os_now_coarse_ns() + AGAIN_NS;
}

void hfi_manager_end(void)
{
    char text[64];
    next_ns = UINT64_MAX;
    if (!told)
        return;
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%u\nSTATUS=\n", HFI_MANAGER_MORE_US);
    send_text(text);
}
