#!/bin/sh
# Searches the Spin models of tests/models exhaustively: each must hold, and must fail once what it relies on is taken out.
set -u
srcdir=$(cd "${srcdir:-.}" && pwd)
cc=${CC:-gcc}
command -v spin >/dev/null || { echo "no spin here: apt-get install spin"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# search MODEL WANTED_ERRORS [-DFLAG]
search() {
    model=$1 wanted=$2
    shift 2
    if ! spin "$@" -a "$srcdir/tests/models/$model.pml" >spin.out || ! $cc -O2 -w -DSAFETY -o pan pan.c; then
        echo "$model $*: does not build"
        failed=1
        return
    fi
    ./pan -m1000000 >pan.out
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.out)
    states=$(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' pan.out)
    echo "$model $*: $states states, $errors errors"
    if [ "$errors" != "$wanted" ] || grep -q "max search depth too small" pan.out; then
        cat pan.out
        failed=1
    fi
}

search handshake 0
search handshake 1 -DNO_BARRIER_1
search handshake 1 -DNO_BARRIER_2
search handshake 1 -DKEEP_ANYHOW
search page 0
search page 1 -DADD_FIRST
search page 1 -DSPLIT_PUSH
search page 1 -DREMOVE_LATE
search page 1 -DTAKE_BY_HINT
search heap 0
search heap 1 -DMARK_FIRST
search heap 1 -DEND_ANYHOW
search heap 1 -DDROP_FIRST
search heap 1 -DEND_UNHELD
search heap 1 -DNO_BIAS
search heap 1 -DTAKE_BARE
search heap 1 -DLEAVE_BARE
search heap 1 -DEND_BLIND
search heap 1 -DLEFT_ALONE
exit $failed
