#!/bin/sh
# Names that `man` is to know besides those of the pages: PAGE LINK, a pair a line.  Each call that a page of section 3
# names, and each command of holdfast(1): `man hf_malloc`, `man holdfast stat`.
#   links.sh DIRECTORY_OF_PAGES
set -eu
for page in "$1"/*.3; do
    page=${page##*/}
    sed -n 's/^\.Nm \(hf_[a-z_]*\).*/\1.3/p' "$1/$page" | while read -r link; do
        [ "$link" = "$page" ] || echo "$page $link"
    done
done
sed -n 's/^\.Ss holdfast \([a-z]*\)$/holdfast.1 holdfast-\1.1/p' "$1/holdfast.1"
