/*
 * revoke: how a stealer takes pages from the lists of another thread's theap.
 *
 * The stealer has set the theap's xstate to THEAP_SEIZED (steal.c), picks pages, looks whether the
 * thread was inside a call, settles, and returns the lists.
 */
#ifndef HFI_REVOKE_H
#define HFI_REVOKE_H

#include "base/base.h"

struct arena_node;
struct theap;

/* For the stealer that has a theap's lists.  Picks up to `max` queued pages of `node` that are
 * neither current nor kept.  From now on every free into them is the slow one.  Returns how
 * many. */
uint32_t hfi_theap_revoke(struct theap *theap, const struct arena_node *node, uint32_t max);

/* Ends that: with `take` lets go of those that have room, and gives the others back to the theap,
 * whose thread may have been inside.  What is in a page's local_free nobody but its holder may
 * read: so a full page is picked before that is known.  Returns how many pages it let go of. */
uint32_t hfi_theap_settle(struct theap *theap, uint32_t revoked, bool take);

/* Returns the lists.  False when the thread has ended meanwhile: they are the caller's, to be ended
 * (hfi_magazine_end_theap). */
bool hfi_theap_return_lists(struct theap *theap);

#endif
