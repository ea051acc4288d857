# The core is everything but the names it takes over: tests and sanitizers link that.
noinst_LTLIBRARIES += libholdfast-core.la
libholdfast_core_la_SOURCES = \
	%D%/address.c %D%/address.h \
	%D%/alloc.h \
	%D%/api.c \
	%D%/arena.c %D%/arena.h \
	%D%/atomic.h \
	%D%/base.h \
	%D%/runmap.c %D%/runmap.h \
	%D%/bits.h \
	%D%/boot.c %D%/boot.h \
	%D%/buffers.c %D%/buffers.h \
	%D%/check.h \
	%D%/counters.h \
	%D%/elf.c %D%/elf.h \
	%D%/free.c \
	%D%/fork.c %D%/fork.h \
	%D%/frames.c %D%/frames.h \
	%D%/harden.c %D%/harden.h \
	%D%/idleset.c %D%/idleset.h \
	%D%/info.c %D%/info.h \
	%D%/init.c %D%/init.h \
	%D%/inspect.c %D%/inspect.h \
	%D%/ladder.c %D%/ladder.h \
	%D%/large.c %D%/large.h \
	%D%/magazine.c %D%/magazine.h \
	%D%/malloc.c \
	%D%/options.c %D%/options.h \
	%D%/os.c %D%/os.h \
	%D%/outlet.c %D%/outlet.h \
	%D%/page.c %D%/page.h \
	%D%/pagemap.h \
	%D%/pagetable.h \
	%D%/prefault.c %D%/prefault.h \
	%D%/probe.h \
	%D%/plan.c %D%/plan.h \
	%D%/pressure.c %D%/pressure.h \
	%D%/realloc.c \
	%D%/remote.c %D%/remote.h \
	%D%/reserve.c %D%/reserve.h \
	%D%/ring.c %D%/ring.h \
	%D%/say.c %D%/say.h \
	%D%/shm.c %D%/shm.h \
	%D%/sizeclass.c %D%/sizeclass.h \
	%D%/slow.h \
	%D%/stats.c %D%/stats.h \
	%D%/steal.c %D%/steal.h \
	%D%/sys.h \
	%D%/theap.c %D%/theap.h \
	%D%/thread.c %D%/thread.h \
	%D%/xfree.h
libholdfast_core_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden -ftls-model=initial-exec -fno-builtin-malloc -fno-semantic-interposition
libholdfast_core_la_LIBADD = $(HWLOC_LIBS) $(LIBURING_LIBS)

lib_LTLIBRARIES += libholdfast.la
libholdfast_la_SOURCES = %D%/override.c %D%/override-cxx.c
# new may throw through our frames; the compiler must not see malloc in malloc.
libholdfast_la_CFLAGS = $(libholdfast_core_la_CFLAGS) -fexceptions -fno-builtin
libholdfast_la_LIBADD = libholdfast-core.la
libholdfast_la_LDFLAGS = -version-info $(HFI_LT_VERSION) -Wl,--version-script=$(srcdir)/%D%/holdfast.map -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete
libholdfast_la_DEPENDENCIES = libholdfast-core.la %D%/holdfast.map

holdfastincludedir = $(includedir)/holdfast
holdfastinclude_HEADERS = include/holdfast/frames.h include/holdfast/holdfast.h include/holdfast/inspect.h include/holdfast/uring.h

pkgconfigdir = $(libdir)/pkgconfig
nodist_pkgconfig_DATA = %D%/holdfast.pc
EXTRA_DIST += %D%/holdfast.map %D%/LAYERS
