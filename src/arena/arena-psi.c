/*
 * arena-psi: whether the kernel says that memory is short, looked at when a growing arena has grown
 * (HOLDFAST_PSI).
 *
 * It is due once when the share is reached, and again after it was under half of that.
 *
 * Concurrency: one thread at a time grows ahead of use, and looks; the state is changed by CAS.
 *
 * Tests: tests/programs/psi.c.
 */
#include "arena/arena.h"

#include "base/options.h"
#include "base/say.h"
#include "kernel/os.h"
#include "kernel/psi.h"

enum psi_state { PSI_OFF, PSI_ARMED, PSI_DUE, PSI_TOLD };

static _Atomic(int) xstate;     /* atomic: enum psi_state */
static _Atomic(size_t) xgrown;  /* atomic: pages by which a node has grown when it became due ... */
static _Atomic(unsigned) xgrew; /* atomic: ... and its index */

void hfi_psi_begin(bool growing)
{
    if (hfi_options.psi_percent == 0)
        return;
    if (!growing) {
        hfi_say(SAY_WARNING, "HF-W042", "arena",
                "HOLDFAST_PSI does nothing, as an arena with a named size takes no more of the machine; "
                "unset it, "
                "or unset HOLDFAST_ARENA");
        return;
    }
    int error = hfi_psi_find();
    if (error != 0)
        hfi_say(
            SAY_WARNING, "HF-W041", "arena",
            "HOLDFAST_PSI does nothing, as %s cannot be read (%s); start the kernel with psi=1, or unset it",
            hfi_psi_path(), hfi_os_error_name(error));
    else
        hfi_store_relaxed(&xstate, PSI_ARMED); /* relaxed: before there are threads */
}

static bool change(enum psi_state from, enum psi_state to)
{
    int state = from;
    return hfi_cas_acq_rel(&xstate, &state, to);
}

void hfi_psi_follow(const struct arena_node *node, size_t pages)
{
    int state = hfi_load_relaxed(&xstate); /* relaxed: the CAS decides */
    if (hfi_likely(state != PSI_ARMED && state != PSI_TOLD))
        return;
    int percent = hfi_psi_percent();
    if (state == PSI_TOLD && percent >= 0 && 2 * (unsigned)percent < hfi_options.psi_percent)
        change(PSI_TOLD, PSI_ARMED);
    if (state != PSI_ARMED || percent < (int)hfi_options.psi_percent)
        return;
    hfi_store_relaxed(&xgrown, pages);
    hfi_store_relaxed(&xgrew, node->index);
    if (change(PSI_ARMED, PSI_DUE)) /* release: pairs with hfi_psi_tell */
        hfi_store_seq_cst(&hfi_xmarks_due, true);
}

const struct arena_node *hfi_psi_tell(size_t *pages)
{
    if (!change(PSI_DUE, PSI_TOLD)) /* acquire: pairs with hfi_psi_follow */
        return NULL;
    *pages = hfi_load_relaxed(&xgrown);
    return &hfi_arena.nodes[hfi_load_relaxed(&xgrew)];
}
