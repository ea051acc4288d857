#!/bin/sh
# 800 threads that allocate, free (a third of it by way of another thread) and sleep by turns, in an arena little larger than what is live
# (tests/bench/hf-workload, "memory"): the library preloaded, then the core under ThreadSanitizer.
#
#   tests/bench/stress.sh [SECONDS] [SECONDS_UNDER_TSAN]      (make stress; in the top of the build tree)
#
# STRESS_KIB (12288) is live per thread, STRESS_TSAN_KIB (1024) under ThreadSanitizer; the arena has 1.17 times as much for all of them, which is 1.15 of
# the peak of what is live, and 1.75 times under ThreadSanitizer, where many more threads stand in the middle of a call, so that nobody can take their
# pages.  A malloc that fails, a lost or overwritten block, a race and a hang are failures.
set -eu
srcdir=${srcdir:-.}
seconds=${1:-600} tsan_seconds=${2:-120}
threads=800
kib=${STRESS_KIB:-12288} tsan_kib=${STRESS_TSAN_KIB:-1024}
. "$srcdir/tests/build.sh"

# run NAME SECONDS KIB PERCENT COMMAND...: again and again until the time is over
run() {
    name=$1 end=$(($(date +%s) + $2)) kib=$3 arena=$((threads * $3 / 1024 * $4 / 100)) turns=0
    shift 4
    while [ "$(date +%s)" -lt "$end" ]; do
        if ! HOLDFAST_ARENA=${arena}M HOLDFAST_LOCK=no timeout 1800 "$@" memory $threads "$kib" 300 >"$work/out" 2>&1; then
            echo "$name: failed in an arena of $arena MiB"
            cat "$work/out"
            exit 1
        fi
        turns=$((turns + 1))
        awk -v name="$name" -v arena="$arena" '/^live_bytes/ { printf "%s: arena %d MiB, %.2f of the peak of live bytes, %.2f million steps/s\n",
            name, arena, arena * 1048576 / $2, $4 / 1e6 }' "$work/out"
    done
    echo "$name: $turns turns of $((threads * 300 * 400)) steps, nothing lost"
}

HOLDFAST_BACKING=thp
export HOLDFAST_BACKING
run ordinary "$seconds" "$kib" 117 env LD_PRELOAD="$PWD/.libs/libholdfast.so" tests/bench/hf-workload

core_flags tsan
flags="$flags -fsanitize=thread -fno-builtin"
# shellcheck disable=SC2086  # lists of words
(mkdir "$work/objects" && cd "$work/objects" &&
    $cc $flags -include stdlib.h -include holdfast/holdfast.h -Dmalloc=hf_malloc -Dfree=hf_free -Dcalloc=hf_calloc -Drealloc=hf_realloc \
        -c "$srcdir"/tests/bench/hf-workload.c "$srcdir"/tests/bench/workload-*.c)
core_objects "$work/core"
# shellcheck disable=SC2086
$cc $flags "$work"/objects/*.o "$work"/core/*.o -o "$work/workload" $core_libraries
TSAN_OPTIONS=halt_on_error=1
export TSAN_OPTIONS
run tsan "$tsan_seconds" "$tsan_kib" 175 setarch -R "$work/workload"
