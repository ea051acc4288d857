#!/bin/sh
# Includes go down only (src/LAYERS), and inside a folder they run in no circle: a .c and the .h of its name are one room.
# hwloc is included by numa/topology alone, liburing by src/kernel/ring alone.
srcdir=${srcdir:-.}
# shellcheck disable=SC2046  # a list of names
cd "$srcdir" && awk '
    function name(path) { sub(/^src\//, "", path); sub(/\.[ch]$/, "", path); return path }
    function folder(room) { sub(/\/[^\/]*$/, "", room); return room }
    FILENAME ~ /LAYERS$/ {
        if ($1 !~ /^#/) { layer[name($1)] = ++layers }
        next
    }
    FNR == 1 { room = name(FILENAME); rooms[room] = 1
               if (!(folder(room) in layer)) { print FILENAME ": its folder is not in src/LAYERS"; bad = 1 } }
    /^#include "/ {
        split($2, part, "\""); used = name(part[2])
        if (!(folder(used) in layer)) { print FILENAME ":" FNR ": names no folder of src/LAYERS: " part[2]; bad = 1 }
        else if (layer[folder(used)] > layer[folder(room)]) { print FILENAME ":" FNR ": includes upwards: " part[2]; bad = 1 }
        else if (folder(used) == folder(room) && used != room) { uses[room, used] = 1 }
    }
    /^#include <hwloc/ && room != "numa/topology" { print FILENAME ": only numa/topology includes hwloc"; bad = 1 }
    /^#include <liburing/ && room != "kernel/ring" { print FILENAME ": only src/kernel/ring includes liburing"; bad = 1 }
    END {
        # A room that uses no room which is left cannot be in a circle; what cannot be taken away is one.
        do {
            taken = 0
            for (room in rooms) {
                free = 1
                for (other in rooms) if ((room, other) in uses) free = 0
                if (free) { delete rooms[room]; taken = 1 }
            }
        } while (taken)
        for (room in rooms) { print room ": is in a circle of includes, or above one"; bad = 1 }
        exit bad
    }
' src/LAYERS $(find src numa -name '*.[ch]')
