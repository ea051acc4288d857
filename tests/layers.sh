#!/bin/sh
# Includes go down only (src/LAYERS, tools/LAYERS), and inside a folder they run in no circle: a .c and the .h of its name are one module.
# Nor do calls between files of the tool, where it is built.
# Each header compiles alone.  numa/topology alone includes hwloc, src/kernel/ring alone liburing.
# Operations on atomics stand in src/base/atomic.h.
srcdir=${srcdir:-.}
top_builddir=${top_builddir:-.}
failed=0
# shellcheck disable=SC2046  # a list of names
(cd "$srcdir" && awk '
    function name(path) { sub(/^(src|tools)\//, "", path); sub(/\.[ch]$/, "", path); return path }
    function folder(module) { return sub(/\/[^\/]*$/, "", module) ? module : "tools" }
    FILENAME ~ /LAYERS$/ {
        if ($1 !~ /^#/) { layer[name($1)] = ++layers }
        next
    }
    FNR == 1 { module = name(FILENAME); modules[module] = 1
               if (!(folder(module) in layer)) { print FILENAME ": its folder is not in LAYERS"; bad = 1 } }
    /^#include "/ {
        split($2, part, "\""); used = name(part[2])
        if (!(folder(used) in layer)) { print FILENAME ":" FNR ": names no folder of LAYERS: " part[2]; bad = 1 }
        else if (layer[folder(used)] > layer[folder(module)]) { print FILENAME ":" FNR ": includes upwards: " part[2]; bad = 1 }
        else if (folder(used) == folder(module) && used != module) { uses[module, used] = 1 }
    }
    /^#include <hwloc/ && module != "numa/topology" { print FILENAME ": only numa/topology includes hwloc"; bad = 1 }
    /^#include <liburing/ && module != "kernel/ring" && FILENAME !~ /^tools/ { print FILENAME ": only src/kernel/ring includes liburing"; bad = 1 }
    /__atomic_|__sync_|atomic_[a-z_]+(_explicit)?\(|memory_order_/ && module != "base/atomic" && FILENAME !~ /^tools/ {
        print FILENAME ":" FNR ": an atomic operation that src/base/atomic.h does not name"; bad = 1
    }
    END {
        # A module that uses no module which is left cannot be in a circle; what cannot be taken away is one.
        do {
            taken = 0
            for (module in modules) {
                free = 1
                for (other in modules) if ((module, other) in uses) free = 0
                if (free) { delete modules[module]; taken = 1 }
            }
        } while (taken)
        for (module in modules) { print module ": is in a circle of includes, or above one"; bad = 1 }
        exit bad
    }
' src/LAYERS tools/LAYERS $(find src numa tools -name '*.[ch]')) || failed=1

# shellcheck disable=SC2046  # a list of names
(cd "$srcdir" && ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Iinclude -iquote src -iquote . -Wall -Werror -Wno-unused-function \
    -fsyntax-only $(find src numa -name '*.h' ! -name counter-list.h)) || failed=1

# Objects of sources that are gone, or have moved, stay in a folder that was built before.
objects() {
    find "$top_builddir/tools" -name 'holdfast-*.o' | while read -r object; do
        source=${object#"$top_builddir"/}
        source=$srcdir/${source%holdfast-*}${source##*holdfast-}
        [ ! -e "${source%.o}.c" ] || echo "$object"
    done
}

# Which file defines what, and which others want it.
# shellcheck disable=SC2046  # a list of names
[ ! -e "$top_builddir/tools/holdfast-common.o" ] || nm -A $(objects) | awk '
    { file = $1; sub(/:.*/, "", file); sub(/.*holdfast-/, "", file); sub(/\.o$/, "", file); files[file] = 1 }
    NF == 3 && $2 ~ /[TDBR]/ { home[$3] = file }
    $(NF - 1) == "U" { wants[file, $NF] = 1 }
    END {
        for (pair in wants) {
            split(pair, part, SUBSEP)
            if (part[2] in home && home[part[2]] != part[1]) calls[part[1], home[part[2]]] = 1
        }
        do {
            taken = 0
            for (file in files) {
                free = 1
                for (other in files) if ((file, other) in calls) free = 0
                if (free) { delete files[file]; taken = 1 }
            }
        } while (taken)
        for (file in files) { print file ": is in a circle of calls, or above one"; bad = 1 }
        exit bad
    }
' || failed=1
exit "$failed"
