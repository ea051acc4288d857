# Sourced, with $srcdir set: how a test builds the core by itself, with flags of its own.
# shellcheck shell=sh disable=SC2034  # for those who source it
cc=${CC:-gcc}
srcdir=$(cd "$srcdir" && pwd)
core_sources=$(find "$srcdir/src" "$srcdir/numa" -name '*.c' ! -name 'override*.c' | sort)
core_libraries='-lhwloc -luring'
# core_flags VERSION: $flags, words for the compiler; a test adds its own
core_flags()
{
    flags="-std=gnu11 -O1 -g -D_GNU_SOURCE -DHFI_VERSION=\"$1\" -w -pthread"
    flags="$flags -iquote $srcdir/src -iquote $srcdir -I$srcdir/include"
}
# core_objects FOLDER [FLAG...]: the core's objects, with $flags and these, two compilers at a time
core_objects()
{
    folder=$1
    shift
    mkdir -p "$folder"
    # shellcheck disable=SC2086  # lists of words
    (cd "$folder" && printf '%s\n' $core_sources | xargs -P 2 -n 6 $cc $flags "$@" -c)
}
