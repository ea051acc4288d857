/*
 * idleset: see idleset.h.
 *
 * A bit of level n stands for a word of level n - 1: set while that word may
 * hold a set bit.  The words of a level lie side by side, level 0 first.
 *
 * I1: a bit of level 0 is set exactly while its page is a member.
 * I2: the bit above a word that is not zero is set, whenever no call is under way.
 * I3: bits past the capacity are clear.
 *
 * Why I2 holds.  Let a word be other than zero when no call is under way, and E
 * be the step by which it last stopped being zero.  The author of E looks at
 * the bit above after E, and sets it if it is clear.  A thread clears the bit above because it saw
 * the word at zero.  It looks at the word again afterwards, and sets the bit again if the word is
 * not zero any more.  Words are changed and then read in seq_cst, so either the author of E sees
 * the bit cleared, or the one who cleared it sees E.  Both then go on upwards, which gives the same
 * for the next level.  An author looks at every level, also where he found the bit below set
 * already: who set it may not have come further up yet.
 *
 * The other way round nothing is promised: an add overtaken by the removal of
 * its member can leave a bit set over a word of zero.  The next take that
 * passes there clears it.
 *
 * Concurrency: no loop waits for another thread; add and remove take a fixed
 * number of steps, take moves upwards only.  Adding (release) pairs with
 * removing (acquire): what the adder wrote to the page is seen by who takes it.
 *
 * Bounds, in words: add touches 4, remove 2 for each level that became empty.  take touches 4 to
 * find a member, and 4 for each member that another thread took or bit left over zero on the way to
 * it.
 *
 * Tests: tests/unit/idleset.c, tests/models/idleset.c.
 */
#include "arena/idleset.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/atomic.h"

#define WORD_SHIFT 6u
#define WORD_BITS ((size_t)1 << WORD_SHIFT)
#define TOP (HFI_IDLESET_LEVELS - 1u)

static size_t level_words(size_t capacity, unsigned level)
{
    size_t words = capacity;
    for (unsigned i = 0; i <= level; i++)
        words = hfi_divide_up(words, WORD_BITS);
    return words;
}

HFI_INLINE _Atomic(uint64_t) *word_of(struct idleset *set, unsigned level, size_t bit)
{
    return &set->xlevels[level][bit >> WORD_SHIFT];
}

HFI_INLINE uint64_t mask_of(size_t bit)
{
    return (uint64_t)1 << bit % WORD_BITS;
}

/* Sets the bits above a word of `level` that has just been seen or made other than zero. */
static void mark_above(struct idleset *set, unsigned level, size_t index)
{
    while (level++ < TOP) {
        _Atomic(uint64_t) *word = word_of(set, level, index);
        /* seq_cst, with clear_above: read after the word below was changed */
        if (!(hfi_load_seq_cst(word) & mask_of(index)))
            hfi_fetch_or_seq_cst(word, mask_of(index));
        index >>= WORD_SHIFT;
    }
}

/* Clears the bits above a word of `level` that was seen at zero, looking at it again after each. */
static void clear_above(struct idleset *set, unsigned level, size_t index)
{
    while (level < TOP) {
        /* seq_cst, with add and mark_above: either they see the bit cleared or the look below sees
         * theirs */
        uint64_t old = hfi_fetch_and_seq_cst(word_of(set, level + 1, index), ~mask_of(index));
        if (hfi_load_seq_cst(&set->xlevels[level][index]) != 0) {
            mark_above(set, level, index);
            return;
        }
        if ((old & ~mask_of(index)) != 0)
            return;
        level++;
        index >>= WORD_SHIFT;
    }
}

size_t hfi_idleset_bytes(size_t capacity)
{
    size_t words = 0;
    for (unsigned level = 0; level <= TOP; level++)
        words += level_words(capacity, level);
    return words * sizeof(uint64_t);
}

void hfi_idleset_init(struct idleset *set, size_t capacity, void *memory)
{
    _Atomic(uint64_t) *at = memory;
    set->capacity = capacity;
    for (unsigned level = 0; level <= TOP; level++) {
        set->xlevels[level] = at;
        at += level_words(capacity, level);
    }
}

bool hfi_idleset_add(struct idleset *set, size_t member)
{
    hfi_assert(member < set->capacity); /* I3 */
    /* seq_cst: release to who removes the member, and I2 */
    uint64_t old = hfi_fetch_or_seq_cst(word_of(set, 0, member), mask_of(member));
    mark_above(set, 0, member >> WORD_SHIFT);
    return (old & mask_of(member)) == 0;
}

bool hfi_idleset_remove(struct idleset *set, size_t member)
{
    hfi_assert(member < set->capacity);
    /* relaxed: who does not see the member has nothing to take */
    if (!(hfi_load_relaxed(word_of(set, 0, member)) & mask_of(member)))
        return false;
    /* seq_cst: acquire from who added the member, and I2 */
    uint64_t old = hfi_fetch_and_seq_cst(word_of(set, 0, member), ~mask_of(member));
    if (old == mask_of(member))
        clear_above(set, 0, member >> WORD_SHIFT);
    return (old & mask_of(member)) != 0;
}

/* Lowest member at or above *from by the words as they are read.  HFI_IDLESET_NONE when the way
 * down ended in a word without one; *from is then moved behind that word. */
static size_t look_from(struct idleset *set, size_t *from)
{
    size_t index = 0;
    for (unsigned level = HFI_IDLESET_LEVELS; level-- > 0;) {
        /* relaxed: what is found is a guess until hfi_idleset_remove takes it */
        uint64_t word = hfi_load_relaxed(&set->xlevels[level][index]);
        size_t lowest = *from >> level * WORD_SHIFT;
        uint64_t at_or_above = word;
        if (lowest >> WORD_SHIFT == index)
            at_or_above &= ~(uint64_t)0 << lowest % WORD_BITS;
        if (at_or_above == 0) {
            if (word == 0)
                clear_above(set, level, index);
            *from = (index + 1) << (level + 1) * WORD_SHIFT;
            return HFI_IDLESET_NONE;
        }
        index = index << WORD_SHIFT | hfi_lowest_bit(at_or_above);
    }
    return index;
}

size_t hfi_idleset_take(struct idleset *set)
{
    size_t from = 0;
    while (from < set->capacity) {
        size_t member = look_from(set, &from);
        if (member == HFI_IDLESET_NONE)
            continue;
        if (hfi_likely(hfi_idleset_remove(set, member)))
            return member;
        from = member + 1;
    }
    return HFI_IDLESET_NONE;
}

const char *hfi_idleset_audit(const struct idleset *set)
{
    size_t bits = set->capacity;
    for (unsigned level = 0; level <= TOP; level++) {
        size_t words = level_words(set->capacity, level);
        for (size_t index = 0; index < words; index++) {
            /* relaxed, twice: no other thread is in a call */
            uint64_t word = hfi_load_relaxed(&set->xlevels[level][index]);
            size_t inside = bits - index * WORD_BITS;
            if (inside < WORD_BITS && word >> inside != 0)
                return "I3: a bit past the capacity is set";
            if (word != 0 && level < TOP &&
                !(hfi_load_relaxed(&set->xlevels[level + 1][index >> WORD_SHIFT]) & mask_of(index)))
                return "I2: the bit above a word that holds members is clear";
        }
        bits = words;
    }
    return NULL;
}
