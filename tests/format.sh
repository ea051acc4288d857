#!/bin/sh
# The code is as clang-format leaves it (.clang-format), and its lines have at most 110 columns.
# Other versions of clang-format than Debian 12's wrap otherwise.
cd "${srcdir:-.}" || exit 1
sources=$(find src numa tools include tests -name '*.[ch]' | sort)
failed=0
# shellcheck disable=SC2086  # a list of names
awk 'length > 110 { print FILENAME ":" FNR ": " length " columns"; bad = 1 } END { exit bad }' $sources || failed=1
if ! clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    echo "no clang-format 14: the shape of the code is not looked at"
    [ "$failed" -eq 0 ] && exit 77
    exit 1
fi
# shellcheck disable=SC2086
clang-format --dry-run --Werror $sources 2>&1 | grep -A 3 'error:' | head -40 | grep . && failed=1
exit "$failed"
