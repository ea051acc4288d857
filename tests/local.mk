# What a test is compiled and linked with goes by its folder; its source is the file of its name.
AM_CFLAGS += $(hf_cflags_$(notdir $(@D)))
AM_CXXFLAGS = -std=c++17 -Wall -Wextra -pthread
LDADD = $(hf_libraries_$(notdir $(@D)))
$(check_PROGRAMS): libholdfast-core.la libholdfast.la

TAP_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
TEST_EXTENSIONS = .unit .sh .lab .tap

# All of them by name, and what each needs besides.
hf_wrap = -Wl,--wrap=hfi_
hf_model_cppflags = $(AM_CPPFLAGS) -include $(srcdir)/%D%/models/steps.h
include tests/list.mk

# --- programs with the library linked in: malloc is ours ---
check_PROGRAMS += $(hf_programs)
TESTS += $(hf_programs)
EXTRA_DIST += %D%/programs/segment.h %D%/programs/short-stack.h %D%/programs/test.h %D%/programs/nth-page.h \
	%D%/programs/heap-tests.h %D%/programs/own-syscall.h
hf_cflags_programs = -fno-builtin
hf_libraries_programs = libholdfast.la

# --- sequences of commands in processes of their own; the driver keeps the C library's malloc ---
hf_victim = %D%/fuzz/victim.cc %D%/fuzz/victim-blocks.cc %D%/fuzz/victim-descriptors.cc %D%/fuzz/victim-processes.cc \
	%D%/fuzz/victim.h %D%/fuzz/commands.h
check_PROGRAMS += %D%/fuzz/processes %D%/fuzz/victim %D%/fuzz/victim-static
TESTS += %D%/fuzz/processes
hf_libraries_fuzz = libholdfast.la
%C%_fuzz_processes_SOURCES = %D%/fuzz/processes.c %D%/fuzz/sequence.c %D%/fuzz/sequence.h %D%/fuzz/commands.h
%C%_fuzz_processes_LDADD =
%C%_fuzz_victim_SOURCES = $(hf_victim)
%C%_fuzz_victim_CXXFLAGS = $(AM_CXXFLAGS) -fno-builtin -fsized-deallocation
%C%_fuzz_victim_LDFLAGS = -no-install
%C%_fuzz_victim_static_SOURCES = $(hf_victim)
%C%_fuzz_victim_static_CXXFLAGS = $(%C%_fuzz_victim_CXXFLAGS)
%C%_fuzz_victim_static_LDFLAGS = -static-libtool-libs
.PHONY: fuzz-processes
fuzz-processes: %D%/fuzz/processes %D%/fuzz/victim %D%/fuzz/victim-static
	./%D%/fuzz/processes --seconds $(FUZZ_SECONDS) --first $(FUZZ_FIRST) --minimise
FUZZ_FIRST = 1000
MOSTLYCLEANFILES += fuzz-processes.*

# --- models: calls interleaved at each atomic step ---
check_PROGRAMS += $(hf_models)
TESTS += $(hf_models)
EXTRA_DIST += %D%/models/explorer.h %D%/models/steps.h

# --- simulations ---
check_PROGRAMS += $(hf_sims)
TESTS += $(hf_sims)
hf_libraries_sim = libholdfast-core.la $(HWLOC_LIBS) $(LIBURING_LIBS)

# --- unit tests: Criterion keeps the C library's malloc, the core is linked without its names ---
UNIT_LOG_DRIVER = $(TAP_LOG_DRIVER)
AM_UNIT_LOG_DRIVER_FLAGS = --ignore-exit
UNIT_LOG_COMPILER = $(SHELL) $(srcdir)/%D%/unit/tap.sh
EXTRA_DIST += %D%/unit/tap.sh
EXTRA_DIST += %D%/unit/heap.h %D%/unit/reserve.h %D%/unit/runmap.h
hf_cflags_unit = $(CRITERION_CFLAGS)
hf_libraries_unit = libholdfast-core.la $(CRITERION_LIBS) $(HWLOC_LIBS) $(LIBURING_LIBS)
if HAVE_CRITERION
check_PROGRAMS += $(hf_units)
TESTS += $(hf_units)
endif

hf_topologies = %D%/topologies/apart.xml %D%/topologies/bare.xml %D%/topologies/container.xml %D%/topologies/cxl.xml \
	%D%/topologies/eight-sockets.xml %D%/topologies/hbm.xml %D%/topologies/node-three.xml %D%/topologies/snc-sixteen.xml
EXTRA_DIST += $(hf_topologies) %D%/topologies/make

# --- the main job of ./quickstart run: malloc untouched, -lsqlite3 from Debian ---
EXTRA_PROGRAMS += %D%/examples/sqlite/sqlite-job
%C%_examples_sqlite_sqlite_job_LDADD = -lsqlite3
CLEANFILES += %D%/examples/sqlite/sqlite-job

# --- what record, report and tune are shown: an arena at some work, and recordings of machines that are not here ---
check_PROGRAMS += %D%/tool-edit %D%/tool-load
%C%_tool_load_LDADD = libholdfast.la $(LIBURING_LIBS)
%C%_tool_load_CFLAGS = $(AM_CFLAGS) $(LIBURING_CFLAGS) -fno-builtin
%C%_tool_edit_SOURCES = %D%/tool-edit.c $(hf_reader)
%C%_tool_edit_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(srcdir)/tools
%C%_tool_edit_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
%C%_tool_edit_LDADD = libholdfast-core.la $(JANSSON_LIBS) $(HWLOC_LIBS) $(LIBURING_LIBS) -lm

# --- what stat, map and top are shown: a segment of which every figure is known ---
check_PROGRAMS += %D%/made-segment
%C%_made_segment_LDADD =

# --- the C library's names, by programs that the library is preloaded to ---
check_PROGRAMS += %D%/names/answers
hf_cflags_names = -fno-builtin

# --- checks of the code itself ---
TESTS += $(hf_scripts)
EXTRA_DIST += $(hf_scripts) %D%/words.list %D%/names/known %D%/names/deepbind.c %D%/build.sh %D%/test.sh %D%/recording-layout.py %D%/report-figures.py %D%/tool-part.sh %D%/programs/secure.c
EXTRA_DIST += %D%/units/boot %D%/units/machine.sh %D%/exporter-rules.yml
EXTRA_DIST += %D%/models/handshake.pml %D%/models/heap.pml %D%/models/page.pml
EXTRA_DIST += %D%/cxx/alone.c %D%/cxx/handler.cc %D%/cxx/late.c %D%/cxx/locked.cc %D%/cxx/plugin.cc \
	%D%/cxx/two.c %D%/cxx/replaced.cc
.PHONY: check-models
check-models:
	CC='$(CC)' srcdir='$(srcdir)' $(SHELL) $(srcdir)/%D%/models.sh
AM_TESTS_ENVIRONMENT = CC='$(CC)' CXX='$(CXX)'; export CC CXX;

include tests/bench/local.mk
include tests/lab/local.mk

# --- real programs under preload: minutes, and packages of their own, so not part of check ---
EXTRA_DIST += %D%/programs/real-programs
.PHONY: check-programs
check-programs: libholdfast.la
	$(srcdir)/%D%/programs/real-programs --library .libs/libholdfast.so --backing thp
	$(srcdir)/%D%/programs/real-programs --library .libs/libholdfast.so --backing 2m

# --- suites that others wrote, in a folder; doc/others-tests.md ---
EXTRA_DIST += %D%/others/run.sh %D%/others/gperftools.list %D%/others/graphene.list %D%/others/isoalloc.list \
	%D%/others/jemalloc.list %D%/others/liburing.list %D%/others/malloc-checker.list %D%/others/mimalloc.list \
	%D%/others/rpmalloc.list %D%/others/security.list %D%/others/stress-ng.list %D%/others/cpython.list \
	%D%/others/ltp.list %D%/others/ltp-numa.lab %D%/others/redis.list %D%/others/rocksdb.list %D%/others/sqlite.list \
	%D%/others/tcmalloc.list %D%/others/valkey.list
.PHONY: check-others
check-others: libholdfast.la
	$(SHELL) $(srcdir)/%D%/others/run.sh --plain .libs/libholdfast.so --secure '$(OTHERS_SECURE)' '$(OTHERS)'

# --- programs that fork on a pool with few spare pages: sets the machine's pool, so not part of check ---
EXTRA_DIST += %D%/pools.sh
.PHONY: check-pools
check-pools: libholdfast.la holdfast
	top_builddir=. $(srcdir)/%D%/pools.sh

# --- the installed tree, used as a stranger would ---
EXTRA_DIST += %D%/installcheck.sh %D%/examples/bufferpool/bufferpool.c %D%/examples/queries/queries.c \
	%D%/examples/queries/plain.h
installcheck-local:
	CC='$(CC)' DESTDIR='$(DESTDIR)' $(SHELL) $(srcdir)/%D%/installcheck.sh $(srcdir) $(DESTDIR)$(prefix) $(DESTDIR)$(libdir) $(DESTDIR)$(bindir) $(DESTDIR)$(mandir)

# --- fuzzing: clang's libFuzzer with the sanitizers; its own build of the core ---
hf_fuzz = srcdir=$(srcdir); . $(srcdir)/%D%/build.sh; core_flags fuzz; \
	clang $$flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
EXTRA_DIST += %D%/fuzz/calls.c
FUZZ_SECONDS = 60
.PHONY: fuzz
fuzz:
	$(hf_fuzz) -DHFI_ENABLE_DEBUG $(FUZZ_DEFINES) -fno-builtin $(srcdir)/%D%/fuzz/calls.c $$core_sources $$core_libraries -o fuzz-calls
	./fuzz-calls -max_total_time=$(FUZZ_SECONDS) -max_len=1000 -len_control=0 -rss_limit_mb=4000
CLEANFILES += fuzz-calls

# What the tool reads of recordings and of segments; small page maps, so that no input takes long.
hf_fuzz_tool = $(hf_fuzz) -DRECORDING_PAGES_MAX=65536 -iquote $(srcdir)/tools \
	$(filter-out %/holdfast.c %/lab.c %/run.c %/doctor.c %/plan.c %/stat.c %/top.c %/top-data.c %/top-graph.c %/top-head.c \
	%/top-nodes.c %/top-none.c %/top-rows.c %/top-screen.c %/top-table.c %/top-views.c,\
	$(wildcard $(srcdir)/tools/*.c $(srcdir)/tools/*/*.c)) $$core_sources
hf_fuzz_libraries = $$core_libraries -ljansson -lm
EXTRA_DIST += %D%/fuzz/recording.c %D%/fuzz/segment.c
.PHONY: fuzz-recording fuzz-segment
fuzz-recording: holdfast %D%/made-segment
	$(hf_fuzz_tool) $(srcdir)/%D%/fuzz/recording.c $(hf_fuzz_libraries) -o fuzz-recording-bin
	$(MKDIR_P) fuzz-recording-corpus
	./holdfast run --arena 8M -- sleep 5 & sleep 2; ./holdfast record $$! -o fuzz-recording-corpus/seed --interval 0.1 --duration 0.5 || :
	%D%/made-segment --heaps > fuzz-recording-made & sleep 1; ./holdfast record $$! -o fuzz-recording-corpus/heaps --interval 0.1 --duration 0.5; kill $$!; rm -f "$$(cat fuzz-recording-made)"
	./fuzz-recording-bin -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -rss_limit_mb=4000 -close_fd_mask=2 fuzz-recording-corpus
fuzz-segment: holdfast %D%/made-segment
	$(hf_fuzz_tool) $(srcdir)/%D%/fuzz/segment.c $(hf_fuzz_libraries) -o fuzz-segment-bin
	$(MKDIR_P) fuzz-segment-corpus
	./holdfast run --arena 8M -- sleep 3 & sleep 2; cp /dev/shm/holdfast.$$!.* fuzz-segment-corpus/ || :; wait
	%D%/made-segment --heaps > fuzz-segment-made & sleep 1; cp "$$(cat fuzz-segment-made)" fuzz-segment-corpus/heaps; kill $$!; rm -f "$$(cat fuzz-segment-made)"
	./fuzz-segment-bin -max_total_time=$(FUZZ_SECONDS) -max_len=30000 -rss_limit_mb=4000 fuzz-segment-corpus
CLEANFILES += fuzz-segment-bin fuzz-segment-made
CLEANFILES += fuzz-recording-bin fuzz-recording-made
