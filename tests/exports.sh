#!/bin/sh
# The library exports exactly what the version script lists, and needs nothing but hwloc, liburing and libc.
# It calls no cancellation point of the C library (pthreads(7)): malloc and free are none (src/base/sys.h).
# It takes no lock of the C library (doc/protocols.md).
# It calls nothing by a name that ISO C leaves to programs, which may have a function of their own by it
# (src/base/sys.h; tests/programs/own-names.c).
srcdir=${srcdir:-.}
library=.libs/libholdfast.so
listed=$(mktemp) found=$(mktemp)
trap 'rm -f "$listed" "$found"' EXIT
sed -n 's/^\t\([A-Za-z_0-9]*\);$/\1/p' "$srcdir/src/holdfast.map" | sort >"$listed"
nm -D --defined-only "$library" | awk '{ print $3 }' | sort >"$found"
diff "$listed" "$found" || { echo "exports.sh: what the version script lists (<) and what $library exports (>) differ"; exit 1; }
extra=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v -e '^libhwloc\.' -e '^liburing\.' -e '^libc\.' -e '^ld-linux' -e '^libpthread\.')
[ -z "$extra" ] || { echo "also needs: $extra"; exit 1; }

points='accept accept4 aio_suspend clock_nanosleep close closefrom closelog connect copy_file_range creat
    epoll_pwait epoll_pwait2 epoll_wait fallocate fcntl fdatasync fsync getmsg getpmsg getrandom lockf
    mq_receive mq_send mq_timedreceive mq_timedsend msgrcv msgsnd msync nanosleep open open_by_handle_at openat
    pause poll posix_fallocate ppoll pread preadv preadv2 pselect pthread_clockjoin_np pthread_cond_clockwait
    pthread_cond_timedwait pthread_cond_wait pthread_join pthread_testcancel pthread_timedjoin_np putmsg
    putpmsg pwrite pwritev pwritev2 read readv recv recvfrom recvmmsg recvmsg select sem_clockwait
    sem_timedwait sem_wait send sendmmsg sendmsg sendto sigpause sigsuspend sigtimedwait sigwait sigwaitinfo
    sleep splice sync_file_range syslog system tcdrain tee thrd_join thrd_sleep usleep vmsplice vsyslog wait
    wait3 wait4 waitid waitpid write writev
    closedir cnd_timedwait cnd_wait dprintf fclose fdopendir fflush fgetc fgets fgetwc fopen fprintf fputc
    fputs fputwc fread freopen fscanf fseek fwrite getc getchar getdelim getline getmntent glob mkostemp
    mkstemp opendir pclose perror popen printf psignal putc putchar puts readdir rewind scanf tmpfile ungetc
    vdprintf vfprintf vfscanf vprintf'
# What is called all the same, and why that ends no thread inside malloc or free:
#   fprintf, fwrite    malloc_info prints to its caller's stream, and is a cancellation point
excepted='fprintf fwrite'
# ISO C's functions begin so, and names with an underscore are the system's.
iso='_* abort fprintf fwrite getenv mem* snprintf stderr str* vsnprintf'
# Names of POSIX and GNU that are called all the same:
#   clock_gettime                 reads a clock without a system call
#   dl_iterate_phdr, getauxval, program_invocation_short_name, secure_getenv
#                                 there is no call of the kernel to make instead
#   getcpu, sched_getcpu          read rseq, or the kernel's page
#   syscall                       which all others go through
posix='clock_gettime dl_iterate_phdr environ getauxval getcpu hwloc_* io_uring_* program_invocation_short_name
    pthread_* sched_getcpu secure_getenv syscall'
called=$(nm -D --undefined-only "$library" | awk '{ sub(/@.*/, "", $2); print $2 }' |
    sed 's/^__\(.*\)_chk$/\1/; s/^__isoc99_//; s/^__\(.*\)_2$/\1/; s/64$//')
failed=0
for name in $called; do
    for point in $points; do
        [ "$name" = "$point" ] || continue
        case " $excepted " in
        *" $name "*) ;;
        *) echo "calls $name, a cancellation point: see src/base/sys.h"; failed=1 ;;
        esac
    done
    known=no
    set -f
    for pattern in $iso $posix; do
        # shellcheck disable=SC2254  # a pattern
        case $name in $pattern) known=yes ;; esac
    done
    set +f
    [ "$known" = yes ] || { echo "calls $name by a name that programs may have: see src/base/sys.h"; failed=1; }
    case $name in
    pthread_mutex_*lock|pthread_rwlock_*lock|pthread_spin_*lock|mtx_*lock) echo "calls $name"; failed=1 ;;
    esac
done
exit "$failed"
