/*
 * lab: what the programs of the multi-node lab share.
 *
 * They are linked with Holdfast's own objects, so that malloc is ours and its internals can be
 * looked at.  Each prints TAP lines without numbers or plan (lab counts them): lab_ok is a test,
 * CHECK (test.h) the end of the program.
 */
#ifndef LAB_H
#define LAB_H

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include <holdfast/holdfast.h>

#include "../programs/test.h"
#include "arena/arena.h"
#include "heap/theap.h"
#include "heap/theaps.h"
#include "kernel/files.h"

static inline bool __attribute__((format(printf, 2, 3))) lab_ok(bool holds, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    printf("%s - %s\n", holds ? "ok" : "not ok", what);
    fflush(stdout);
    return holds;
}

/* stdio's buffer must not be a block of the arena that is being measured. */
static inline void lab_start(void)
{
    static char output[4096];
    setvbuf(stdout, output, _IOLBF, sizeof output);
    free(malloc(1)); /* the arena stands */
}

/* A number in a node's file of the kernel, those before it skipped; -1 when there is none.
 * Allocates nothing. */
static inline int lab_node_number(unsigned node, const char *file, unsigned skip)
{
    char path[128], text[256];
    const char *at = text;
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/%s", node, file);
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return -1;
    for (; skip > 0 && at != NULL; skip--) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    return at == NULL || *at < '0' || *at > '9' ? -1 : atoi(at);
}

/* Moves this thread to the first CPU of a node. */
static inline void lab_run_on(unsigned node)
{
    cpu_set_t cpus;
    unsigned cpu, now;
    int first = lab_node_number(node, "cpulist", 0);
    CHECK(first >= 0);
    CPU_ZERO(&cpus);
    CPU_SET((unsigned)first, &cpus);
    CHECK(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
    CHECK(getcpu(&cpu, &now) == 0 && now == node);
}

/* The kernel's word on where memory is: a node, or -errno. */
static inline int lab_node_of(const void *memory)
{
    void *page = (void *)((uintptr_t)memory & ~(uintptr_t)4095);
    int status = -EINVAL;
    CHECK(syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0) == 0);
    return status;
}

/* How many of the OS pages from `start` on are not on `node`. */
static inline size_t lab_astray(const char *start, size_t bytes, size_t os_page_bytes, unsigned node)
{
    static void *pages[1024];
    static int status[1024];
    size_t astray = 0;
    for (size_t at = 0; at < bytes;) {
        unsigned long count = 0;
        for (; at < bytes && count < 1024; at += os_page_bytes)
            pages[count++] = (void *)(start + at);
        CHECK(syscall(SYS_move_pages, 0, count, pages, NULL, status, 0) == 0);
        for (unsigned long i = 0; i < count; i++)
            astray += status[i] != (int)node;
    }
    return astray;
}

/* A list of blocks through their first word, of one size. */
struct lab_blocks {
    void **first;
    size_t count;
};

static inline bool lab_push(struct lab_blocks *blocks, void *block)
{
    if (block == NULL)
        return false;
    *(void **)block = blocks->first;
    blocks->first = block;
    blocks->count++;
    return true;
}

static inline void lab_free_all(struct lab_blocks *blocks)
{
    while (blocks->first != NULL) {
        void **next = *blocks->first;
        free(blocks->first);
        blocks->first = next;
    }
    blocks->count = 0;
}

/* A block that says what it must hold, so that any thread can see whether it is as it was left. */
struct lab_letter {
    size_t bytes;
    unsigned from;
};

#define LAB_LETTER_STRIDE 512

/* Of up to 3000 bytes, one in 64 of up to 500,000.  NULL when malloc fails. */
static inline struct lab_letter *lab_letter_write(uint64_t *random, unsigned writer)
{
    size_t bytes = test_random_size(random, sizeof(struct lab_letter) + 1,
                                    test_random(random) % 64 == 0 ? 500000 : 3000);
    struct lab_letter *letter = malloc(bytes);
    if (letter == NULL)
        return NULL;
    *letter = (struct lab_letter){ bytes, writer };
    unsigned char *text = (unsigned char *)(letter + 1);
    for (size_t i = 0; i < bytes - sizeof *letter; i += LAB_LETTER_STRIDE)
        text[i] = (unsigned char)(bytes + i);
    return letter;
}

/* Frees it; how many of its bytes are not as they were written. */
static inline size_t lab_letter_open(struct lab_letter *letter)
{
    size_t bytes = letter->bytes, spoilt = 0;
    const unsigned char *text = (const unsigned char *)(letter + 1);
    for (size_t i = 0; i < bytes - sizeof *letter; i += LAB_LETTER_STRIDE)
        spoilt += text[i] != (unsigned char)(bytes + i);
    free(letter);
    return spoilt;
}

/* How many blocks of the list are on `node`, as the kernel and hf_node_of agree. */
static inline size_t lab_on_node(const struct lab_blocks *blocks, unsigned node)
{
    size_t on_node = 0;
    for (void **block = blocks->first; block != NULL; block = *block)
        on_node += lab_node_of(block) == (int)node;
    return on_node;
}

/* Pages that blocks have, of all nodes; not those that could not be populated. */
static inline size_t lab_used_pages(void)
{
    size_t used = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        const struct arena_node *node = &hfi_arena.nodes[i];
        used += node->page_count - hfi_arena_free_pages(node) - hfi_arena_failed_pages(node) -
                node->meta_pages - hfi_load_relaxed(&node->xtheap_pages);
    }
    return used;
}

/* NULL, or what is broken; while no other thread is in a call. */
static inline const char *lab_audit(void)
{
    const char *broken = NULL;
    for (unsigned i = 0; i < hfi_arena.node_count && broken == NULL; i++)
        broken = hfi_arena_audit(&hfi_arena.nodes[i]);
    for (struct theap *theap = hfi_theap_first(); theap != NULL && broken == NULL; theap = theap->next_all)
        if (theap->thread != 0)
            broken = hfi_theap_audit(theap);
    return broken;
}

#endif
