/*
 * check: internal assertions and the reports of misuse.
 */
#ifndef HFI_CHECK_H
#define HFI_CHECK_H

#include "base/say.h"

#ifdef HFI_ENABLE_DEBUG
#define hfi_assert(condition)                                                                                \
    ((condition) ? (void)0                                                                                   \
                 : hfi_die("HF-E399", "assert",                                                              \
                           "%s:%d: %s does not hold; this is a bug of Holdfast, please report it", __FILE__, \
                           __LINE__, #condition))
#else
#define hfi_assert(condition) ((void)0)
#endif

#endif
