/*
 * page-size: on a kernel whose pages are not of 4 KiB the start is refused by name, and one does not find out
 * by some later failure.
 */
#include <holdfast/holdfast.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

size_t __wrap_hfi_os_base_page_bytes(void);

size_t __wrap_hfi_os_base_page_bytes(void)
{
    const char *bytes = getenv("TEST_PAGE_BYTES");
    return bytes == NULL ? 4096 : strtoul(bytes, NULL, 10);
}

static char *const *program;

static void run_again(int page_kib)
{
    char bytes[16];
    snprintf(bytes, sizeof bytes, "%d", page_kib << 10);
    setenv("TEST_PAGE_BYTES", bytes, 1);
    execv("/proc/self/exe", program);
}

int main(int argc, char **argv)
{
    (void)argc;
    program = argv;
    if (getenv("TEST_PAGE_BYTES") != NULL) {
        hf_free(hf_malloc(100));
        return 0;
    }
    static const char *const arenas[] = { "16M", "" };
    static const int sizes_kib[] = { 16, 64 };
    for (size_t i = 0; i < 4; i++) {
        char output[4096], wanted[64];
        setenv("HOLDFAST_ARENA", arenas[i / 2], 1);
        if (i / 2 == 1)
            unsetenv("HOLDFAST_ARENA");
        int status = test_in_child(run_again, sizes_kib[i % 2], output, sizeof output);
        snprintf(wanted, sizeof wanted, "HF-E239 reserve: this kernel has pages of %d KiB", sizes_kib[i % 2]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 78);
        CHECK(strstr(output, wanted) != NULL);
    }
    setenv("HOLDFAST_ARENA", "16M", 1);
    char output[4096];
    CHECK(test_in_child(run_again, 4, output, sizeof output) == 0);
    return 0;
}
