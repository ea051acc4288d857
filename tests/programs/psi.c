/*
 * psi: handlers are called when a growing arena grows while the kernel says that memory is short:
 * once, and again after that was half over; without the variable nothing is read; a file that is
 * not there, and an arena that does not grow, are told of once.
 */
#include <holdfast/holdfast.h>

#include "test.h"

#define STEP ((size_t)70 << 20) /* more than the arena opens at once */

long __wrap_hfi_os_read_once(const char *path, char *buffer, size_t buffer_bytes);
long __real_hfi_os_read_once(const char *path, char *buffer, size_t buffer_bytes);

static const char *share; /* as the kernel has it; NULL: there is no such file; "": its own */
static int looks;

long __wrap_hfi_os_read_once(const char *path, char *buffer, size_t buffer_bytes)
{
    if (strstr(path, "pressure") == NULL)
        return __real_hfi_os_read_once(path, buffer, buffer_bytes);
    looks++;
    if (share == NULL)
        return -ENOENT;
    if (*share == 0)
        return __real_hfi_os_read_once(path, buffer, buffer_bytes);
    return snprintf(buffer, buffer_bytes, "some avg10=%s avg60=99.00 avg300=99.00 total=1\nfull avg10=99.00",
                    share);
}

static int calls;

static bool handle(const struct hf_pressure *pressure, void *context)
{
    CHECK(pressure->cause == HF_PRESSURE_SYSTEM && context == &calls);
    CHECK(pressure->bytes != 0 && pressure->free >= pressure->contiguous);
    calls++;
    return false;
}

static void watch(void)
{
    struct hf_pressure_options options = { .size_bytes = sizeof options,
                                           .handler = handle,
                                           .context = &calls };
    CHECK(hf_pressure_watch(&options) == 0);
}

static void grow(void)
{
    CHECK(hf_malloc(STEP) != NULL);
}

enum { OFF, ON, NONE, NAMED, REAL };

static void run(int which)
{
    if (which != OFF)
        setenv("HOLDFAST_PSI", "20%", 1);
    if (which == NAMED)
        setenv("HOLDFAST_ARENA", "16M", 1);
    share = which == NONE ? NULL : which == REAL ? "" : "99.00";
    watch();
    if (which == NAMED)
        return;
    share = which == ON ? "19.99" : share;
    calls = looks = 0;
    grow();
    CHECK(which == REAL || calls == 0);
    CHECK((looks != 0) == (which == ON || which == REAL));
    share = which == ON ? "20.00" : share;
    for (int i = 0; i < 3; i++)
        grow();
    CHECK(which == REAL || calls == (which == ON));
    share = which == ON ? "10.00" : share; /* no less than half */
    grow();
    share = which == ON ? "50.00" : share;
    grow();
    CHECK(which == REAL || calls == (which == ON));
    share = which == ON ? "9.99" : share;
    grow();
    share = which == ON ? "50.00" : share;
    grow();
    CHECK(which == REAL || calls == 2 * (which == ON));
}

static unsigned count(const char *text, const char *wanted)
{
    unsigned times = 0;
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
        times++;
    return times;
}

int main(void)
{
    static const char *const messages[] = {
        [OFF] = NULL, [ON] = NULL, [NONE] = "HF-W041", [NAMED] = "HF-W042"
    };
    unsetenv("HOLDFAST_ARENA");
    for (int which = OFF; which <= REAL; which++) {
        char said[4096];
        bool has = which == REAL && access("/proc/pressure/memory", R_OK) == 0;
        if (which == REAL && !has)
            break;
        int status = test_in_child(run, which, said, sizeof said);
        if (status != 0)
            fprintf(stderr, "case %d, printed:\n%s", which, said);
        CHECK(status == 0);
        CHECK(count(said, "HF-W041") == (which == NONE) && count(said, "HF-W042") == (which == NAMED));
        CHECK(which > NAMED || messages[which] == NULL || strstr(said, messages[which]) != NULL);
    }
    return 0;
}
