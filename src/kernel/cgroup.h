/*
 * cgroup: what the limits of the cgroups above this process (v1 or v2) leave it.
 */
#ifndef HFI_CGROUP_H
#define HFI_CGROUP_H

#include "base/base.h"

struct cgroup_bound {
    uint64_t limit_bytes; /* the tightest; UINT64_MAX when there is none */
    uint64_t used_bytes;  /* of that group; only with `usage` */
    uint64_t room_bytes;  /* the least that any group leaves; only with `usage` */
    bool usage;           /* whether usage is asked for: it costs two more files a level */
    bool first_kind;      /* that group is one of v1 */
};

#define HFI_CGROUP_NO_BOUND .limit_bytes = UINT64_MAX, .room_bytes = UINT64_MAX

/* Looks at the groups of this process, from its own up to the root, for their limits of memory. */
void hfi_cgroup_find(struct cgroup_bound *bound);

/* Pages of a pool have limits of their own, for what is touched and for what is reserved. */
uint64_t hfi_cgroup_pool_room(size_t page_bytes);

/* Of one of the two.  `file` becomes the name of its file in the group; empty where no group has a
 * limit. */
#define HFI_CGROUP_FILE_BYTES 48
void hfi_cgroup_pool_bound(struct cgroup_bound *bound, char file[HFI_CGROUP_FILE_BYTES], size_t page_bytes,
                           bool reserved);

/* Tightest cgroup memory limit over this process and its current use; false when unlimited. */
bool hfi_os_cgroup_limit(uint64_t *limit_bytes, uint64_t *used_bytes);

#endif
