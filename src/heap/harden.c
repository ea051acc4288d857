/*
 * harden: see harden.h.  Everything here runs in the secure build only.
 *
 * HD1: the live bit of a block is set from the moment malloc returns it until free begins.
 *      Threads share words of bits, so both changes are atomic.
 *
 * HD2: page->guard is GUARD_FAULT while the guard may be inaccessible, GUARD_PATTERN while its
 *      pattern stands whole.  The first is stored before the kernel is asked and taken back after
 *      it has answered; the second is stored after the pattern was written and taken back before it
 *      is cleared.  So a forked child, which may find another thread's run half way, at worst lifts
 *      what is accessible or verifies nothing.
 * HD3: memory that is free in the arena is accessible and holds no pattern.
 *
 * HD4: the kernel may refuse to lift a guard (RLIMIT_DATA was lowered below what is in use).  Its
 *      page is then on the stack of lost pages, and counts as Holdfast's own.  While there are any,
 *      no guard is made inaccessible until one of them was lifted.  So no more are lost than guards
 *      stood, and all come back.
 *
 * A guard behind a run of blocks on OS pages of 4 KiB:
 *
 *     | blocks ... | slack: pattern, 2 KiB at most | inaccessible, 4 KiB |
 *
 * and on larger OS pages, which cannot be protected in part (transparent huge ones would be split),
 * or where the kernel or guards_max refuses:
 *
 *     | blocks ... | pattern, 2 KiB | slack | pattern, 2 KiB |
 *
 * so that the first byte behind the last block and the last one before the next run are both
 * watched.  A large block has no slack.  The run in front brings the guard in front; of the first
 * run of a node that are the node's maps, which have one as well.  An inaccessible guard costs the
 * process two mappings (vm.max_map_count), of which half are left to the program.
 *
 * Encoded and checked links defeat the use of a freed block's link to reach an address.  Live bits
 * find frees of interior pointers, and double frees of any age.  The shuffled order within each
 * batch of linked blocks makes the next block's place hard to guess.  Guards find a write that goes
 * on from one run into the next.
 *
 * Tests: tests/programs/misuse.c and tests/programs/secure.c in the secure build (tests/secure.sh).
 */
#include "heap/harden.h"

#include <string.h>

#include "arena/arena.h"
#include "base/say.h"
#include "kernel/os.h"
#include "kernel/files.h"
#include "kernel/cpu.h"
#include "arena/pagemap.h"
#include "base/sys.h"

#define LIVE_GRAIN_SHIFT 4
#define LIVE_BYTES_PER_PAGE (HFI_PAGE_BYTES >> LIVE_GRAIN_SHIFT >> 3)
#define MAPS_MAX_DEFAULT 65530u /* the kernel's own */
#define PATTERN_BYTES (HFI_GUARD_BYTES / 2)

static _Atomic(uint64_t) *xlive_bits; /* atomic words; NULL before hfi_harden_init and in plain builds */
static uint64_t secret[2];            /* const after hfi_harden_init */
static _Atomic(uint64_t) xkeys;       /* atomic: keys made, so that no two are alike */
static uint64_t guards_max;           /* const after hfi_harden_init: inaccessible ones */
static _Atomic(uint64_t) xguards;     /* atomic: inaccessible ones now */
static _Atomic(bool) xsaid;           /* atomic: the first guard that had to be a pattern was reported */
static _Atomic(uint64_t) xlost;       /* atomic: tag, and 1 + index of the first lost page; they are linked by
                                 * xnext_lost */

static uint64_t mix(uint64_t x)
{
    /* SplitMix64's finalizer (Steele, Lea, Flood 2014) */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void guard_maps(void)
{
    uint64_t maps_max = MAPS_MAX_DEFAULT;
    hfi_os_read_number("/proc/sys/vm/max_map_count", &maps_max);
    guards_max = maps_max / 4;
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        const struct arena_node *node = &hfi_arena.nodes[i];
        struct page *first = hfi_page_at(node->first_index);
        first->node = (uint8_t)i;
        first->run_pages = (uint32_t)(node->set_aside_first - node->first_index);
        hfi_harden_guard_place(first);
    }
}

int hfi_harden_init(void)
{
    size_t bytes = (hfi_span - HFI_WINDOWS_OFFSET) >> LIVE_GRAIN_SHIFT >> 3;
    if (!HFI_SECURE)
        return 0;
    if (hfi_sys_random(secret, sizeof secret) != (ssize_t)sizeof secret) {
        secret[0] = hfi_os_now_ns() ^ (uint64_t)(uintptr_t)hfi_base;
        secret[1] = mix(secret[0] ^ (uint64_t)(uintptr_t)&bytes);
    }
    char *bits = hfi_os_reserve(bytes, HFI_PAGE_BYTES);
    bool growing = hfi_arena.reservation.growing;
    if (bits == NULL || (growing ? hfi_os_map_readable(bits, bytes) : hfi_os_map(bits, bytes, 4096)) != 0)
        return -1;
    if (!growing)
        hfi_os_populate(bits, bytes);
    else if (hfi_arena_follow(bits, HFI_WINDOWS_OFFSET >> HFI_PAGE_SHIFT, LIVE_BYTES_PER_PAGE) != 0)
        return -1;
    xlive_bits = (_Atomic(uint64_t) *)bits;
    guard_maps();
    return 0;
}

/* Twice, with a secret before each: one leaked key, of a link or a guard, gives no secret away. */
static uint64_t keyed(uint64_t x)
{
    return mix(mix(x ^ secret[0]) ^ secret[1]);
}

uint64_t hfi_harden_key(const struct page *page)
{
    return keyed((uintptr_t)page ^ hfi_fetch_add_relaxed(&xkeys, 1));
}

void hfi_harden_bad_link(const struct page *page, const void *block)
{
    hfi_die("HF-E308", "page",
            "the link in freed block %p of %u bytes was overwritten: a write after free or an overflow "
            "of its neighbour; run the program under valgrind",
            block, page->block_bytes);
}

static _Atomic(uint64_t) *live_word(const void *block, uint64_t *bit)
{
    size_t grain = (size_t)((const char *)block - hfi_base - HFI_WINDOWS_OFFSET) >> LIVE_GRAIN_SHIFT;
    *bit = (uint64_t)1 << (grain % 64);
    return &xlive_bits[grain / 64];
}

void hfi_harden_mark_live(void *block)
{
    uint64_t bit;
    _Atomic(uint64_t) *word = live_word(block, &bit);
    if (hfi_unlikely(hfi_fetch_or_acq_rel(word, bit) & bit))
        hfi_die("HF-E309", "malloc",
                "block %p was about to be handed out while it is live: its free list was corrupted; "
                "run the program under valgrind",
                block);
}

void hfi_harden_mark_dead(void *block)
{
    uint64_t bit;
    _Atomic(uint64_t) *word = live_word(block, &bit);
    if (hfi_unlikely((uintptr_t)block % HFI_MAX_ALIGN != 0 || !(hfi_fetch_and_acq_rel(word, ~bit) & bit)))
        hfi_die("HF-E307", "free",
                "%p is no live block: freed twice, or not what malloc returned; "
                "run the program under valgrind to see where",
                block);
}

void hfi_harden_expect_live(const void *block, const char *call)
{
    uint64_t bit;
    const _Atomic(uint64_t) *word = live_word(block, &bit);
    if (hfi_unlikely((uintptr_t)block % HFI_MAX_ALIGN != 0 || !(hfi_load_relaxed(word) & bit)))
        hfi_die("HF-E307", call,
                "%p is no live block: freed before, or not what malloc returned; "
                "run the program under valgrind to see where",
                block);
}

/* Fisher and Yates, in the version of Durstenfeld 1964. */
void hfi_harden_shuffle(const struct page *page, uint8_t *order, size_t count)
{
    uint64_t random = page->link_key ^ page->front.capacity;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint8_t)i;
    for (size_t i = count; i-- > 1;) {
        random = mix(random + i);
        size_t other = (size_t)((random >> 32) * (i + 1) >> 32);
        uint8_t swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
}

/* --- guards --- */

/* A stretch of pattern. */
struct stretch {
    char *start;
    size_t bytes;
};

static char *run_end(const struct page *head)
{
    return hfi_page_start(head) + ((size_t)head->run_pages << HFI_PAGE_SHIFT);
}

/* Where the last block ends. */
static char *blocks_end(const struct page *head)
{
    if (head->block_bytes == 0)
        return run_end(head) - HFI_GUARD_BYTES;
    return hfi_page_start(head) + (size_t)head->reserved * head->block_bytes;
}

static struct stretch first_stretch(const struct page *head, enum page_guard guard)
{
    char *start = blocks_end(head);
    size_t room = guard == GUARD_FAULT ? (size_t)(run_end(head) - HFI_GUARD_BYTES - start) : PATTERN_BYTES;
    return (struct stretch){ start, hfi_min(room, PATTERN_BYTES) };
}

static struct stretch last_stretch(const struct page *head, enum page_guard guard)
{
    size_t bytes = guard == GUARD_FAULT ? 0 : PATTERN_BYTES;
    return (struct stretch){ run_end(head) - bytes, bytes };
}

/* Words differ, so that a copy of one is found in another's place.  Who can read a guard can write
 * it again. */
static uint64_t pattern_word(uint64_t seed, size_t i)
{
    return seed + i * 0x9e3779b97f4a7c15u;
}

/* Of the run, its tenancy, and the stretch. */
static uint64_t pattern_seed(const struct page *head, struct stretch stretch)
{
    return keyed(~head->link_key ^ (uintptr_t)stretch.start);
}

static void write_pattern(const struct page *head, struct stretch stretch)
{
    uint64_t seed = pattern_seed(head, stretch), *words = (uint64_t *)stretch.start;
    for (size_t i = 0; i < stretch.bytes / sizeof *words; i++)
        words[i] = pattern_word(seed, i);
}

static HFI_COLD _Noreturn void die_overwritten(const struct page *head, const char *at)
{
    size_t behind = (size_t)(at - blocks_end(head));
    if (head->block_bytes == 0)
        hfi_die("HF-E310", "guard",
                "the guard behind the large block %p of %zu bytes was overwritten, first at %p, %zu bytes "
                "behind its end: an overflow of it, or an underflow of what begins at %p; run the program "
                "under valgrind",
                (void *)hfi_page_start(head), (size_t)(blocks_end(head) - hfi_page_start(head)),
                (const void *)at, behind, (void *)run_end(head));
    hfi_die("HF-E310", "guard",
            "the guard behind the page of %u-byte blocks at %p was overwritten, first at %p, %zu bytes "
            "behind its last block: an overflow of block %p, or an underflow of what begins at %p; run the "
            "program under valgrind",
            head->block_bytes, (void *)hfi_page_start(head), (const void *)at, behind,
            (void *)(blocks_end(head) - head->block_bytes), (void *)run_end(head));
}

static void verify_pattern(const struct page *head, struct stretch stretch)
{
    uint64_t seed = pattern_seed(head, stretch), *words = (uint64_t *)stretch.start;
    for (size_t i = 0; i < stretch.bytes / sizeof *words; i++) {
        uint64_t wrong = words[i] ^ pattern_word(seed, i);
        if (hfi_unlikely(wrong != 0))
            die_overwritten(head, (const char *)&words[i] + hfi_lowest_bit(wrong) / 8);
    }
}

static HFI_COLD void say_pattern(int error)
{
    bool said = false;
    if (!hfi_cas_acq_rel(&xsaid, &said, true))
        return;
    if (error != 0)
        hfi_say(SAY_WARNING, "HF-W311", "guard",
                "the kernel refused an inaccessible guard (%s, %llu stand): guards it refuses are "
                "patterns, verified later; raise vm.max_map_count",
                hfi_os_error_name(error), (unsigned long long)hfi_load_relaxed(&xguards));
    else
        hfi_say(SAY_INFO, "HF-I311", "guard",
                "%llu guards are inaccessible, half of what vm.max_map_count allows: further ones are "
                "patterns, verified later; raise vm.max_map_count",
                (unsigned long long)guards_max);
}

/* Treiber's stack (1986); the tag is against ABA, and entries of the page table are always there to
 * be read. */
static void lost_push(struct page *page)
{
    uint64_t word = hfi_load_relaxed(&xlost), next;
    do {
        hfi_store_relaxed(&page->xnext_lost, (uint32_t)word); /* relaxed: published by the CAS */
        next = ((word >> 32) + 1) << 32 | (hfi_page_index(page) + 1);
        /* release: pairs with lost_pop, which reads xnext_lost */
    } while (!hfi_cas_weak_acq_rel(&xlost, &word, next));
}

static struct page *lost_pop(void)
{
    uint64_t word = hfi_load_acquire(&xlost), next;
    struct page *page;
    do {
        if ((uint32_t)word == 0)
            return NULL;
        page = hfi_page_at((uint32_t)word - 1);
        /* relaxed: if somebody else took the page meanwhile, the tag fails the CAS */
        next = ((word >> 32) + 1) << 32 | hfi_load_relaxed(&page->xnext_lost);
    } while (!hfi_cas_weak_acq_rel(&xlost, &word, next));
    return page;
}

static HFI_COLD void lose(struct page *page, int error)
{
    static _Atomic(bool) xsaid_lost;
    if (hfi_first_time(&xsaid_lost))
        hfi_say(SAY_WARNING, "HF-W312", "guard",
                "the kernel refused to lift an inaccessible guard (%s): its 64 KiB are out of use until it "
                "does, and further guards are patterns; raise the limit on data (ulimit -d)",
                hfi_os_error_name(error));
    hfi_fetch_add_relaxed(&hfi_node_of_page(page)->xtheap_pages, 1);
    lost_push(page);
}

/* HD4: whether guards can be lifted; a lost page goes back. */
static bool may_be_lifted(void)
{
    struct page *page = lost_pop();
    if (hfi_likely(page == NULL))
        return true;
    if (hfi_os_protect(run_end(page) - HFI_GUARD_BYTES, HFI_GUARD_BYTES, true) != 0) {
        lost_push(page);
        return false;
    }
    hfi_fetch_sub_relaxed(&xguards, 1);
    hfi_fetch_sub_relaxed(&hfi_node_of_page(page)->xtheap_pages, 1);
    hfi_pagemap_show(page, HF_PAGE_FREE);
    hfi_store_relaxed(hfi_owner_at(hfi_page_index(page)), (uintptr_t)HFI_OWNER_NONE);
    hfi_order_stores(); /* a forked child looks at no page that is on its way out */
    hfi_arena_release(page, 1);
    return true;
}

bool hfi_guards_may_fault(unsigned node)
{
    return HFI_SECURE && hfi_arena.reservation.nodes[node].backing == BACKING_4K;
}

/* False when the guard is to be a pattern. */
static bool make_inaccessible(struct page *head)
{
    if (!hfi_guards_may_fault(head->node) || !may_be_lifted())
        return false;
    int error = 0;
    if (hfi_fetch_add_relaxed(&xguards, 1) < guards_max) {
        write_pattern(head, first_stretch(head, GUARD_FAULT));
        head->guard = GUARD_FAULT;
        hfi_order_stores();
        error = hfi_os_protect(run_end(head) - HFI_GUARD_BYTES, HFI_GUARD_BYTES, false);
        if (error == 0)
            return true;
    }
    hfi_fetch_sub_relaxed(&xguards, 1);
    say_pattern(error);
    return false;
}

void hfi_harden_guard_place(struct page *head)
{
    if (head->block_bytes == 0) /* no links, so no key yet */
        head->link_key = hfi_harden_key(head);
    if (make_inaccessible(head))
        return;
    write_pattern(head, first_stretch(head, GUARD_PATTERN));
    write_pattern(head, last_stretch(head, GUARD_PATTERN));
    hfi_order_stores();
    head->guard = GUARD_PATTERN;
}

/* 0 or -errno. */
static int guard_lift(struct page *head)
{
    enum page_guard guard = head->guard;
    if (guard == GUARD_NONE)
        return 0;
    struct stretch first = first_stretch(head, guard), last = last_stretch(head, guard);
    verify_pattern(head, first);
    verify_pattern(head, last);
    if (guard == GUARD_FAULT) {
        int error = hfi_os_protect(run_end(head) - HFI_GUARD_BYTES, HFI_GUARD_BYTES, true);
        if (error != 0)
            return error;
        hfi_fetch_sub_relaxed(&xguards, 1);
    }
    hfi_order_stores();
    head->guard = GUARD_NONE;
    hfi_order_stores();
    memset(first.start, 0, first.bytes);
    memset(last.start, 0, last.bytes);
    return 0;
}

bool hfi_harden_guard_lift(struct page *head)
{
    return guard_lift(head) == 0;
}

/* A guard that cannot be lifted stays, and its page is lost for now (HD4): a run of its own, which a
 * forked child may step over (fork.c). */
uint32_t hfi_harden_guard_release(struct page *head)
{
    uint32_t pages = head->run_pages;
    int error = guard_lift(head);
    if (hfi_likely(error == 0))
        return pages;
    struct page *last = head + pages - 1;
    last->node = head->node;
    last->run_pages = 1;
    hfi_order_stores();
    hfi_store_relaxed(hfi_owner_at(hfi_page_index(last)), (uintptr_t)HFI_OWNER_META);
    head->guard = GUARD_NONE;
    lose(last, error);
    return pages - 1;
}
