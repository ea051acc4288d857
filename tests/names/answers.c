/*
 * answers: what the C library's allocation calls answer to arguments of each kind, a line per
 * call.  What one machine could give and another could not is not asked for.  tests/names.sh
 * compares the answers of the C library and of Holdfast.
 */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef void *resize_array(void *block, size_t count, size_t each_bytes);

/* glibc has no header for these. */
struct mallinfo __libc_mallinfo(void);
int __libc_mallopt(int parameter, int value);

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* None between the 1 GiB at which Holdfast's end and what an address space holds. */
static const size_t aligns[] = {
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    24,
    32,
    48,
    64,
    4095,
    4096,
    4097,
    65536,
    1 << 21,
    (size_t)1 << 48,
    ((size_t)1 << 48) + 1,
    (size_t)1 << 62,
    ((size_t)1 << 62) + 1,
    (size_t)1 << 63,
    ((size_t)1 << 63) + 1,
    SIZE_MAX - 1,
    SIZE_MAX,
};
static const size_t sizes[] = {
    0,
    1,
    24,
    100,
    4096,
    70000,
    (size_t)1 << 48,
    PTRDIFF_MAX - 65536,
    PTRDIFF_MAX - 1,
    PTRDIFF_MAX,
    (size_t)PTRDIFF_MAX + 1,
    SIZE_MAX - 65536,
    SIZE_MAX - 4097,
    SIZE_MAX - 4096,
    SIZE_MAX - 4095,
    SIZE_MAX - 16,
    SIZE_MAX - 1,
    SIZE_MAX,
};

static size_t power_above(size_t align)
{
    size_t power = 16;
    while (power < align && power <= SIZE_MAX / 2)
        power *= 2;
    return power;
}

static void print(const char *call, size_t first, size_t second, const void *block, size_t align)
{
    int error = errno;
    const char *kind = block == NULL                 ? "none"
                     : (uintptr_t)block % align == 0 ? "block"
                                                     : "block, not aligned";
    printf("%s(%#zx, %#zx): %s, errno %d\n", call, first, second, kind, error);
}

#define ANSWER(call, first, second, align, expression)                                                       \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        void *block = (expression);                                                                          \
        print(call, first, second, block, align);                                                            \
        free(block);                                                                                         \
    } while (0)

/* Its errno is left open by POSIX; glibc's changes. */
static void print_posix_memalign(size_t align, size_t bytes)
{
    void *block = NULL;
    int error = posix_memalign(&block, align, bytes);
    printf("posix_memalign(%#zx, %#zx): %d, %s\n", align, bytes, error,
           block == NULL                   ? "none"
           : (uintptr_t)block % align == 0 ? "block"
                                           : "block, not aligned");
    free(block);
}

static void print_aligned(void)
{
    double version = strtod(gnu_get_libc_version() + 2, NULL); /* of 2.36, 36 */
    for (size_t i = 0; i < COUNT(aligns); i++)
        for (size_t j = 0; j < COUNT(sizes); j++) {
            size_t align = aligns[i], bytes = sizes[j];
            ANSWER("memalign", align, bytes, power_above(align), memalign(align, bytes));
            if (version < 38 || (align & (align - 1)) == 0) /* later ones refuse what is no power of two */
                ANSWER("aligned_alloc", align, bytes, power_above(align), aligned_alloc(align, bytes));
            print_posix_memalign(align, bytes);
        }
}

static void print_sized(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t bytes = sizes[i];
        ANSWER("malloc", bytes, 0, 16, malloc(bytes));
        ANSWER("realloc of NULL", bytes, 0, 16, realloc(NULL, bytes));
        ANSWER("valloc", bytes, 0, 4096, valloc(bytes));
        ANSWER("pvalloc", bytes, 0, 4096, pvalloc(bytes));
    }
}

/* Products that fit, that do not, and of nothing. */
static void print_products(void)
{
    static const size_t counts[] = { 0, 1, 3, (size_t)1 << 32, PTRDIFF_MAX, SIZE_MAX / 2 + 1, SIZE_MAX };
    for (size_t i = 0; i < COUNT(counts); i++)
        for (size_t j = 0; j < COUNT(counts); j++) {
            size_t count = counts[i], each = counts[j];
            ANSWER("calloc", count, each, 16, calloc(count, each));
            ANSWER("reallocarray of NULL", count, each, 16, reallocarray(NULL, count, each));
            char *before = malloc(100);
            before[99] = 'x';
            errno = 0;
            void *after = reallocarray(before, count, each);
            print("reallocarray", count, each, after, 16);
            if (after == NULL && count != 0 && each != 0 && before[99] == 'x') /* else it was freed */
                free(before);
            free(after);
        }
}

/* The names that have a prefix are about the same heap. */
static void print_prefixed(void)
{
    enum { BLOCKS = 50, BYTES = 20000 };
    static void *blocks[BLOCKS];
    struct mallinfo before = __libc_mallinfo();
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(BYTES);
    struct mallinfo after = __libc_mallinfo();
    printf("__libc_mallinfo: %s\n",
           after.uordblks >= before.uordblks + BLOCKS * BYTES ? "counts" : "does not");
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    printf("__libc_mallopt: %d, %d\n", __libc_mallopt(M_MXFAST, 161), __libc_mallopt(-20, 1));
    resize_array *resize = (resize_array *)dlvsym(RTLD_DEFAULT, "__libc_reallocarray", "GLIBC_PRIVATE");
    if (resize != NULL)
        ANSWER("__libc_reallocarray", 10, 10, 16, resize(malloc(1), 10, 10));
}

static void print_parameters(void)
{
    static const int values[] = { INT32_MIN, -1, 0, 1, 64, 80, 160, 161, 1 << 20, 1 << 25, INT32_MAX };
    for (int parameter = -20; parameter <= 20; parameter++)
        for (size_t i = 0; i < COUNT(values); i++)
            printf("mallopt(%d, %d): %d\n", parameter, values[i], mallopt(parameter, values[i]));
}

int main(void)
{
    static char text[1 << 16];
    FILE *stream = fmemopen(text, sizeof text, "w");
    print_aligned();
    print_sized();
    print_products();
    errno = 0;
    int wrong = malloc_info(1, stream), wrong_errno = errno, right = malloc_info(0, stream);
    printf("malloc_info: %d, errno %d; %d\n", wrong, wrong_errno, right);
    printf("malloc_usable_size(NULL): %zu\n", malloc_usable_size(NULL));
    print_prefixed();
    print_parameters(); /* last: glibc does as it is told */
    return 0;
}
