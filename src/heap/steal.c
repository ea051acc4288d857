/*
 * steal: see steal.h; protocol in doc/protocols.md ("Claim of an idle page").
 *
 * A member of the idle set is a hint (P4 in page.c): the page may have been claimed, retired or cut
 * anew since.  The claim of its xfree decides.  A page that turns out to be of another class is let
 * go of again, which adds it where it belongs.
 *
 * From a theap whose thread sleeps (doc/protocols.md, "Handshake"): an asymmetric Dekker.  The
 * owner stores xbusy and loads xstate, or owners[] of a page.  The stealer stores those and loads
 * xbusy, with a membarrier between, which puts a full barrier into the owner too.  Of the two at
 * least one sees the other.  If the owner may be inside, the stealer gives up.
 *
 * H1: first barrier: the theap's lists are the stealer's; the owner, entering, sees THEAP_SEIZED
 *     and does without.
 * H2: second barrier: the picked pages are the stealer's; the owner, freeing, sees
 *     HFI_OWNER_UNOWNED.
 * H3: nobody waits: an owner goes another way, a stealer gives up.
 *
 * Source of the asymmetric barrier: Dice, Huang, Yang, "Asymmetric Dekker Synchronization", 2001;
 * membarrier(2).
 *
 * Tests: tests/unit/steal.c, tests/programs/asleep.c, tests/models/handshake.pml.
 */
#include "heap/steal.h"

#include "heap/magazine.h"
#include "arena/pagemap.h"
#include "base/check.h"
#include "kernel/cpu.h"
#include "heap/revoke.h"
#include "base/say.h"
#include "arena/arena.h"
#include "heap/page.h"

static struct page *claim_from(struct idleset *set, struct theap *theap, struct arena_node *node,
                               unsigned class, size_t candidates)
{
    for (size_t i = 0; i < candidates; i++) {
        size_t member = hfi_idleset_take(set);
        if (member == HFI_IDLESET_NONE)
            return NULL;
        struct page *page = hfi_page_at(node->first_index + member);
        if (!hfi_page_claim(page))
            continue;
        if (page->size_class != class || !hfi_page_has_room(page)) {
            hfi_page_let_go(page);
            continue;
        }
        if (theap != NULL)
            hfi_page_set_owner(page, theap);
        return page;
    }
    return NULL;
}

struct page *hfi_claim_ample(struct theap *theap, struct arena_node *node, unsigned class, size_t candidates)
{
    return claim_from(&node->ample[class], theap, node, class, candidates);
}

struct page *hfi_claim_scant(struct theap *theap, struct arena_node *node, unsigned class, size_t candidates)
{
    return claim_from(&node->scant[class], theap, node, class, candidates);
}

struct page *hfi_claim_reserve(struct theap *theap, struct arena_node *node, unsigned class,
                               size_t candidates)
{
    return claim_from(&node->reserve_idle[class], theap, node, class, candidates);
}

/* Theaps visited between two barriers.  A barrier costs as much as a visit to some fifty theaps.  A
 * stealer that is preempted keeps the lists of so many from being used. */
#define VISITS_MAX 64u
#define PAGES_PER_VISIT 32u

/* One theap whose lists the stealer has. */
struct visit {
    struct theap *theap;
    uint32_t blocks;  /* that came back from its magazines */
    uint32_t revoked; /* pages picked */
};

static bool has_barrier; /* const after hfi_steal_init */

void hfi_steal_init(void)
{
    int error = hfi_os_barrier_register();
    has_barrier = error == 0;
    if (error != 0)
        hfi_say(SAY_INFO, "HF-I003", "steal",
                "the kernel refuses membarrier (error %d): memory that sleeping threads keep stays "
                "theirs; allow membarrier in the seccomp filter",
                -error);
}

static unsigned seize_lists(const struct theap *self, struct theap **next, struct visit *visits)
{
    unsigned count = 0;
    for (; *next != NULL && count < VISITS_MAX; *next = (*next)->next_all) {
        uint32_t state = THEAP_LIVE;
        /* relaxed: a hint */
        if (*next == self ||
            (hfi_load_relaxed(&(*next)->xqueued) == 0 && !hfi_load_relaxed(&(*next)->xmagazines)))
            continue;
        if (!hfi_cas_acq_rel(&(*next)->xstate, &state, THEAP_SEIZED))
            continue;
        hfi_assert(HFI_SHOWN((*next)->thread) != 0); /* only who has the lists puts it up */
        visits[count].theap = *next;
        visits[count].blocks = visits[count].revoked = 0;
        count++;
    }
    return count;
}

/* acquire: pairs with hfi_theap_leave and the end of hfi_free: what the owner did to the pages
 * happened before */
static bool is_inside(const struct theap *theap)
{
    return hfi_load_acquire(&theap->xbusy) != 0;
}

/* Magazines of all first: their blocks may make a page of another theap empty. */
static void take(const struct arena_node *node, struct visit *visits, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!is_inside(visits[i].theap))
            visits[i].blocks = hfi_magazines_return_lists(visits[i].theap);
    for (unsigned i = 0; i < count; i++)
        if (!is_inside(visits[i].theap))
            visits[i].revoked = hfi_theap_revoke(visits[i].theap, node, PAGES_PER_VISIT);
}

static uint32_t finish(struct visit *visit, bool barrier_held)
{
    uint32_t taken = hfi_theap_settle(visit->theap, visit->revoked, barrier_held && !is_inside(visit->theap));
    if (!hfi_theap_return_lists(visit->theap))
        hfi_magazine_end_theap(visit->theap);
    return taken;
}

struct stolen hfi_steal_asleep(struct theap *theap, const struct arena_node *node, struct theap **next)
{
    struct visit visits[VISITS_MAX];
    struct stolen stolen = { 0, 0, false };
    if (!has_barrier) {
        *next = NULL;
        return stolen;
    }
    unsigned count = seize_lists(theap, next, visits);
    bool barrier_held = count != 0 && hfi_os_barrier() == 0; /* H1 */
    if (barrier_held)
        take(node, visits, count);
    barrier_held = barrier_held && hfi_os_barrier() == 0; /* H2 */
    for (unsigned i = 0; i < count; i++) {
        stolen.blocks += visits[i].blocks;
        stolen.more |= visits[i].revoked == PAGES_PER_VISIT;
        stolen.pages += finish(&visits[i], barrier_held);
    }
    if (theap != NULL)
        theap->counters.stolen += stolen.pages;
    return stolen;
}
