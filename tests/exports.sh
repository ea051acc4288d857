#!/bin/sh
# The library exports exactly what the version script lists, and needs nothing but hwloc, liburing and libc.
srcdir=${srcdir:-.}
library=.libs/libholdfast.so
listed=$(mktemp) found=$(mktemp)
trap 'rm -f "$listed" "$found"' EXIT
sed -n 's/^\t\([A-Za-z_0-9]*\);$/\1/p' "$srcdir/src/holdfast.map" | sort >"$listed"
nm -D --defined-only "$library" | awk '{ print $3 }' | sort >"$found"
diff "$listed" "$found" || exit 1
extra=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v -e '^libhwloc\.' -e '^liburing\.' -e '^libc\.' -e '^ld-linux' -e '^libpthread\.')
[ -z "$extra" ] || { echo "also needs: $extra"; exit 1; }
