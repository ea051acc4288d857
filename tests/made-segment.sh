# Sourced by tests of the tool that look at pictures: a segment made by hand, whose every figure is known.
#
# Two nodes, two size classes, three theaps and none past the table's end, two events, 192 pages.  Needs $work; sets victim, the process that it
# claims to be of, and segment.  finish_segment removes both.

# Little-endian words of 4 and 8 bytes, as this machine writes them (x86-64, arm64).
le32()
{
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}
le64()
{
    for word in "$@"; do
        le32 $((word & 4294967295))
        le32 $((word >> 32 & 4294967295))
    done
}
# repeat COUNT WORD...: the words of 8 bytes, COUNT times
repeat()
{
    count=$1
    shift
    le64 "$@" > "$work/word"
    while [ "$count" -gt 0 ]; do
        cat "$work/word"
        count=$((count - 1))
    done
}

# table OFFSET COUNT ENTRY_BYTES
table()
{
    le64 "$1"; le32 "$2"; le32 "$3"
}

# made_header PAGES: with so many pages in the map
made_header()
{
    printf 'HOLDSPT1'
    le32 3; le32 256
    le64 4096 "$victim" "$start" 0 0 0 0
    table 256 2 128; table 512 2 16; table 576 3 320; table 1536 2 48; table 1664 "$1" 8
    le64 2 3 0 0 0
    le32 1; le32 2; le32 0; le32 0
    repeat 4 0
    table 3200 2 320
}

# made_node ID FLAGS PAGES USED IDLE LARGE META FIRST: sizes in pages
made_node()
{
    page=65536
    le32 "$1"; le32 2; le32 "$2"; le32 0
    le64 $(($3 * page)) $(($3 * page)) $(($4 * page)) $(($5 * page)) $((($3 - $4) * page)) $(($4 * page)) $(($6 * page)) $(($7 * page))
    le64 0 0 "$8" 2 $(($3 * page)) 2097152
}

# made_theap IN_USE HOME CPU TID CLAIMED STOLEN LOST OUT IN AWAY SLOW KEPT
made_theap()
{
    le64 "$1"; le32 "$2"; le32 "$3"
    le64 "$4" 1 0 0 "$5" 0 "$6" "$7" 0 0 0 0 "$8" "$9"
    shift 9
    le64 0 0 "$3" "$1" 0 0 0 0
    le32 "$2"
    repeat 15 0; le32 0
}

# entry STATE CLASS THEAP COUNT: of the page map
entry()
{
    le64 $(($1 | $2 << 8 | $3 << 16 | $4 << 32))
}

# Node 0's 128 pages, a cell each at 64 cells a row, then node 3's 64.  What stands inside a run must not be looked at.
made_pages()
{
    entry 6 0 0 1; entry 6 0 0 1                      # own structures
    entry 2 0 0 1024; entry 2 0 0 100                 # owned by theap 0: full; a tenth
    entry 3 0 0 600; entry 3 0 0 10                   # idle
    entry 4 0 0 1024                                  # full, unowned
    entry 2 1 1 16; le64 -1                           # theap 1: a run of two pages
    entry 2 1 1 0; le64 -1                            # theap 1: another, empty
    repeat 9 0
    le64 200                                          # no state that there is
    repeat 43 1
    entry 5 0 0 70; repeat 63 -1                      # 70 pages in one block, over the node's end
    repeat 64 0
}

made_segment()
{
    made_header "$1"
    made_node 0 19 128 75 2 64 2 0
    made_node 3 1 64 0 0 0 0 128
    le32 64; le32 1; le32 1024; le32 0
    le32 8192; le32 2; le32 16; le32 0
    repeat 4 0
    made_theap 1 0 5 "$victim" 11 22 33 44 55 6 7 131072
    made_theap 1 1 6 4000001 111 122 133 144 155 16 177 0
    made_theap 0 0 7 4000002 1 1 1 1 1 1 1 0
    le64 1 1; le32 1; le32 0; le64 0 12582912 0
    le64 2 2; le32 2; le32 0; le64 4000001 8388608 0
    repeat 4 0
    made_pages
    repeat 112 0
}

# What stands behind the start time in a segment's name: the namespaces of processes and of time.
namespace()
{
    time=$(stat -Lc %i /proc/self/ns/time 2> /dev/null) && printf '%x%08x' "$time" "$(stat -Lc %i /proc/self/ns/pid)" ||
        printf '%x' "$(stat -Lc %i /proc/self/ns/pid)"
}

# start_segment PAGES
start_segment()
{
    sleep 600 &
    victim=$!
    start=$(sed 's/.*) //' "/proc/$victim/stat" | cut -d' ' -f20)
    segment=/dev/shm/holdfast.$victim.$start.$(namespace)
    made_segment "$1" > "$work/made"
    [ "$(wc -c < "$work/made")" -ge 4096 ] || echo "made-segment.sh: the segment is too short"
    cp "$work/made" "$segment"
    chmod 600 "$segment"
}

finish_segment()
{
    [ -z "${victim:-}" ] || kill "$victim" 2> /dev/null
    [ -z "${segment:-}" ] || rm -f "$segment"
    victim='' segment=''
}
