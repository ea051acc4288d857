#!/bin/sh
# Includes go down only: every #include "room.h" of src/ and numa/ names a room of a lower layer, of the
# same layer, or the room itself (src/LAYERS).  hwloc is included by numa/ alone, liburing by ring alone.
srcdir=${srcdir:-.}
awk '
    FILENAME ~ /LAYERS$/ {
        if ($1 ~ /^[0-9]+$/) for (i = 2; i <= NF; i++) layer[$i] = $1
        next
    }
    FNR == 1 { room = FILENAME; sub(/.*\//, "", room); sub(/\.[ch]$/, "", room)
               if (!(room in layer)) { print FILENAME ": not in src/LAYERS"; bad = 1 } }
    /^#include "/ {
        split($2, part, "\""); used = part[2]; sub(/\.h$/, "", used)
        if (!(used in layer)) { print FILENAME ": includes " used ", which is not in src/LAYERS"; bad = 1 }
        else if (layer[used] > layer[room]) { print FILENAME ":" FNR ": layer " layer[room] " includes " used " of layer " layer[used]; bad = 1 }
    }
    /^#include <hwloc/ && room != "topology" { print FILENAME ": only numa/topology includes hwloc"; bad = 1 }
    /^#include <liburing/ && room != "ring" { print FILENAME ": only ring includes liburing"; bad = 1 }
    END { exit bad }
' "$srcdir"/src/LAYERS "$srcdir"/src/*.[ch] "$srcdir"/numa/*.[ch]
