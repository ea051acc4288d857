/*
 * harden: see harden.h.  Everything here runs in the secure build only.
 *
 * H1: the live bit of a block is set from the moment malloc returns it until free begins.
 *     Threads share words of bits, so both changes are atomic.
 *
 * Defeats: use of a freed block's link to reach an address (links are encoded and checked),
 * frees of interior pointers and double frees of any age (live bits), guessing the
 * next block's place (order shuffled within each batch of linked blocks).
 *
 * Test: tests/programs/misuse.c in the secure build.
 */
#include "harden.h"

#include <sys/random.h>

#include "arena.h"
#include "check.h"
#include "os.h"

#define LIVE_GRAIN_SHIFT 4

static _Atomic(uint64_t) *xlive_bits; /* atomic words; NULL before hfi_harden_init and in plain builds */
static uint64_t secret;         /* const after hfi_harden_init */
static _Atomic(uint64_t) xkeys; /* atomic: keys made, so that no two are alike */

int hfi_harden_init(void)
{
    size_t bytes = (hfi_span - HFI_WINDOWS_OFFSET) >> LIVE_GRAIN_SHIFT >> 3;
    if (!HFI_SECURE)
        return 0;
    if (getrandom(&secret, sizeof secret, GRND_NONBLOCK) != (ssize_t)sizeof secret)
        secret = hfi_os_now_ns() ^ (uint64_t)(uintptr_t)hfi_base;
    char *bits = hfi_os_reserve(bytes, HFI_PAGE_BYTES);
    if (bits == NULL || hfi_os_map(bits, bytes, 4096) != 0)
        return -1;
    if (!hfi_arena.reservation.growing)
        hfi_os_populate(bits, bytes);
    xlive_bits = (_Atomic(uint64_t) *)bits;
    return 0;
}

static uint64_t mix(uint64_t x)
{
    /* SplitMix64's finalizer (Steele, Lea, Flood 2014) */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t hfi_harden_key(const struct page *page)
{
    return mix(secret ^ (uintptr_t)page ^ hfi_fetch_add_relaxed(&xkeys, 1));
}

void hfi_harden_bad_link(const struct page *page, const void *block)
{
    hfi_die("HF-E308", "page", "the link in freed block %p of %u bytes was overwritten: a write after free or an overflow "
            "of its neighbour; run the program under valgrind", block, page->block_bytes);
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
        hfi_die("HF-E309", "malloc", "block %p was about to be handed out while it is live: its free list was corrupted; "
                "run the program under valgrind", block);
}

void hfi_harden_mark_dead(void *block)
{
    uint64_t bit;
    _Atomic(uint64_t) *word = live_word(block, &bit);
    if (hfi_unlikely((uintptr_t)block % HFI_MAX_ALIGN != 0 || !(hfi_fetch_and_acq_rel(word, ~bit) & bit)))
        hfi_die("HF-E307", "free", "%p is no live block: freed twice, or not what malloc returned; "
                "run the program under valgrind to see where", block);
}

size_t hfi_harden_shuffle(const struct page *page, size_t i, size_t count)
{
    /* An affine permutation with an odd factor needs a power of two; other counts keep their order rotated. */
    uint64_t key = page->link_key;
    size_t factor = hfi_is_power_of_two(count) ? (size_t)(key >> 8 | 1) : 1;
    return (i * factor + (size_t)(key >> 32)) % count;
}
