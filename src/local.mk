# The core is everything but the names it takes over: tests and sanitizers link that.
noinst_LTLIBRARIES += libholdfast-core.la
libholdfast_core_la_SOURCES = \
	%D%/base/atomic.h \
	%D%/base/base.h \
	%D%/base/bits.h \
	%D%/base/callback.c %D%/base/callback.h \
	%D%/base/check.h \
	%D%/base/descriptor.c %D%/base/descriptor.h \
	%D%/base/layout.h \
	%D%/base/options.c %D%/base/options.h \
	%D%/base/option-table.c \
	%D%/base/outlet.c %D%/base/outlet.h \
	%D%/base/probe.h \
	%D%/base/say.c %D%/base/say.h \
	%D%/base/sys.h \
	%D%/kernel/boot.c %D%/kernel/boot.h \
	%D%/kernel/cgroup.c %D%/kernel/cgroup.h \
	%D%/kernel/cpu.c %D%/kernel/cpu.h \
	%D%/kernel/fault.c %D%/kernel/fault.h \
	%D%/kernel/files.c %D%/kernel/files.h \
	%D%/kernel/manager.c %D%/kernel/manager.h \
	%D%/kernel/machine.c %D%/kernel/machine.h \
	%D%/kernel/os.c %D%/kernel/os.h \
	%D%/kernel/psi.c %D%/kernel/psi.h \
	%D%/kernel/ring.c %D%/kernel/ring.h \
	%D%/kernel/shm.c %D%/kernel/shm.h \
	\
	%D%/arena/arena.c %D%/arena/arena.h \
	%D%/arena/arena-grow.c \
	%D%/arena/arena-level.c \
	%D%/arena/arena-marks.c \
	%D%/arena/arena-psi.c \
	%D%/arena/arena-reserve.c \
	%D%/arena/attempt.c %D%/arena/attempt.h \
	%D%/arena/idleset.c %D%/arena/idleset.h \
	%D%/arena/pagemap.h \
	%D%/arena/pagetable.h \
	%D%/arena/prefault.c %D%/arena/prefault.h \
	%D%/arena/reserve.c %D%/arena/reserve.h \
	%D%/arena/reserve-asked.c \
	%D%/arena/reserve-fit.c \
	%D%/arena/reserve-growing.c \
	%D%/arena/reserve-memory.c \
	%D%/arena/reserve-backings.c \
	%D%/arena/reserve-space.c \
	%D%/arena/runmap.c %D%/arena/runmap.h \
	%D%/arena/sizeclass.c %D%/arena/sizeclass.h \
	%D%/arena/xfree.h \
	%D%/heap/aside.c %D%/heap/aside.h \
	%D%/heap/counter-list.h \
	%D%/heap/counters.h \
	%D%/heap/harden.c %D%/heap/harden.h \
	%D%/heap/heap.c %D%/heap/heap.h \
	%D%/heap/heap-checked.c %D%/heap/heap-checked.h \
	%D%/heap/heap-limit.c %D%/heap/heap-limit.h \
	%D%/heap/held.h %D%/heap/hold.c %D%/heap/hold.h %D%/heap/stack.h \
	%D%/heap/large.c %D%/heap/large.h \
	%D%/heap/limit.h \
	%D%/heap/budget.h \
	%D%/heap/magazine.c %D%/heap/magazine.h \
	%D%/heap/page.c %D%/heap/page.h \
	%D%/heap/piece.h \
	%D%/heap/piece-blocks.c %D%/heap/piece-blocks.h \
	%D%/heap/pieces.c %D%/heap/pieces.h %D%/heap/reuse.c %D%/heap/reuse.h \
	%D%/heap/remote.c %D%/heap/remote.h \
	%D%/heap/slots.c %D%/heap/slots.h \
	%D%/heap/revoke.c %D%/heap/revoke.h \
	%D%/heap/steal.c %D%/heap/steal.h \
	%D%/heap/theap.c %D%/heap/theap.h \
	%D%/heap/theaps.c %D%/heap/theaps.h \
	%D%/heap/zone.c %D%/heap/zone.h \
	%D%/app/buffers.c %D%/app/buffers.h \
	%D%/app/events.c %D%/app/events.h \
	%D%/app/figures.c %D%/app/figures.h \
	%D%/app/frames.c %D%/app/frames.h \
	%D%/app/info.c %D%/app/info.h \
	%D%/app/inspect.c %D%/app/inspect.h \
	%D%/app/latency.c %D%/app/latency.h \
	%D%/app/leftover.c %D%/app/leftover.h \
	%D%/app/pressure.c %D%/app/pressure.h \
	%D%/app/segment.c %D%/app/segment.h \
	%D%/app/stats.c %D%/app/stats.h \
	%D%/malloc/address.c %D%/malloc/address.h \
	%D%/malloc/alloc.h \
	%D%/malloc/attach.c %D%/malloc/attach.h \
	%D%/malloc/fork.c %D%/malloc/fork.h \
	%D%/malloc/free.c \
	%D%/malloc/freeze.c %D%/malloc/freeze.h \
	%D%/malloc/full.c %D%/malloc/full.h \
	%D%/malloc/heaps.c %D%/malloc/heaps.h \
	%D%/malloc/init.c %D%/malloc/init.h \
	%D%/malloc/ladder.c %D%/malloc/ladder.h \
	%D%/malloc/malloc.c \
	%D%/malloc/provide.c %D%/malloc/provide.h \
	%D%/malloc/realloc.c \
	%D%/malloc/request.h \
	%D%/malloc/slow.h \
	%D%/malloc/thread.c %D%/malloc/thread.h \
	%D%/malloc/use.c %D%/malloc/use.h \
	%D%/malloc/where.c \
	%D%/names/api.c \
	%D%/names/api-claim.c \
	%D%/names/api-heap.c \
	%D%/names/api-use.c \
	%D%/names/elf.c %D%/names/elf.h
libholdfast_core_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden -ftls-model=initial-exec -fno-builtin-malloc -fno-semantic-interposition
libholdfast_core_la_LIBADD = $(HWLOC_LIBS) $(LIBURING_LIBS)

lib_LTLIBRARIES += libholdfast.la
libholdfast_la_SOURCES = %D%/names/override.c %D%/names/override-cxx.c
# new may throw through our frames; the compiler must not see malloc in malloc.
libholdfast_la_CFLAGS = $(libholdfast_core_la_CFLAGS) -fexceptions -fno-builtin
libholdfast_la_LIBADD = libholdfast-core.la
libholdfast_la_LDFLAGS = -version-info $(HFI_LT_VERSION) -Wl,--version-script=$(srcdir)/%D%/holdfast.map -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete
libholdfast_la_DEPENDENCIES = libholdfast-core.la %D%/holdfast.map

holdfastincludedir = $(includedir)/holdfast
holdfastinclude_HEADERS = include/holdfast/claim.h include/holdfast/frames.h include/holdfast/heap.h include/holdfast/holdfast.h include/holdfast/inspect.h include/holdfast/uring.h

pkgconfigdir = $(libdir)/pkgconfig
nodist_pkgconfig_DATA = %D%/holdfast.pc
EXTRA_DIST += %D%/holdfast.map %D%/LAYERS
