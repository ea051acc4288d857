# --- programs with the library linked in: malloc is ours ---
hf_programs = %D%/programs/api %D%/programs/asleep %D%/programs/cxx %D%/programs/early %D%/programs/exhaust %D%/programs/fork \
	%D%/programs/fork-warning %D%/programs/idle %D%/programs/misuse %D%/programs/nth-page %D%/programs/quiet %D%/programs/threads
if SECURE
hf_programs += %D%/programs/secure
endif
check_PROGRAMS += $(hf_programs) %D%/programs/preempted.tap
TESTS += $(hf_programs) %D%/programs/preempted.tap
EXTRA_DIST += %D%/programs/test.h

hf_program_cflags = $(AM_CFLAGS) -O1 -fno-builtin
%C%_programs_api_SOURCES = %D%/programs/api.c
%C%_programs_api_CFLAGS = $(hf_program_cflags)
%C%_programs_api_LDADD = libholdfast.la
%C%_programs_asleep_SOURCES = %D%/programs/asleep.c
%C%_programs_asleep_CFLAGS = $(hf_program_cflags)
%C%_programs_asleep_LDADD = libholdfast.la
%C%_programs_cxx_SOURCES = %D%/programs/cxx.cc
%C%_programs_cxx_CXXFLAGS = -std=c++17 -Wall -Wextra -pthread
%C%_programs_cxx_LDADD = libholdfast.la
%C%_programs_early_SOURCES = %D%/programs/early.c
%C%_programs_early_CFLAGS = $(hf_program_cflags)
%C%_programs_early_LDADD = libholdfast.la
%C%_programs_exhaust_SOURCES = %D%/programs/exhaust.c
%C%_programs_exhaust_CFLAGS = $(hf_program_cflags)
%C%_programs_exhaust_LDADD = libholdfast.la
%C%_programs_fork_SOURCES = %D%/programs/fork.c
%C%_programs_fork_CFLAGS = $(hf_program_cflags)
%C%_programs_fork_LDADD = libholdfast.la
%C%_programs_fork_warning_SOURCES = %D%/programs/fork-warning.c
%C%_programs_fork_warning_CFLAGS = $(hf_program_cflags)
%C%_programs_fork_warning_LDADD = libholdfast.la
%C%_programs_idle_SOURCES = %D%/programs/idle.c
%C%_programs_idle_CFLAGS = $(hf_program_cflags)
%C%_programs_idle_LDADD = libholdfast.la
%C%_programs_misuse_SOURCES = %D%/programs/misuse.c
%C%_programs_misuse_CFLAGS = $(hf_program_cflags)
%C%_programs_misuse_LDADD = libholdfast.la
%C%_programs_nth_page_SOURCES = %D%/programs/nth-page.c %D%/programs/nth-page.h %D%/programs/nth-page-new.cc src/override.c
%C%_programs_nth_page_CFLAGS = $(hf_program_cflags) -fexceptions
%C%_programs_nth_page_CXXFLAGS = -std=c++17 -Wall -Wextra -pthread
%C%_programs_nth_page_LDFLAGS = -Wl,--wrap=hfi_arena_claim -Wl,--wrap=hfi_arena_claim_at -Wl,--wrap=hfi_arena_claim_meta
%C%_programs_nth_page_LDADD = libholdfast-core.la
%C%_programs_preempted_tap_SOURCES = %D%/programs/preempted.c
%C%_programs_preempted_tap_CFLAGS = $(hf_program_cflags)
%C%_programs_preempted_tap_LDFLAGS = -Wl,--wrap=hfi_idleset_add,--wrap=hfi_idleset_remove,--wrap=hfi_idleset_take \
	-Wl,--wrap=hfi_page_try_own,--wrap=hfi_page_collect_won,--wrap=hfi_page_init,--wrap=hfi_page_let_go \
	-Wl,--wrap=hfi_page_retire,--wrap=hfi_page_set_owner,--wrap=hfi_theap_adopt \
	-Wl,--wrap=hfi_runmap_release,--wrap=hfi_runmap_claim
%C%_programs_preempted_tap_LDADD = libholdfast-core.la
%C%_programs_quiet_SOURCES = %D%/programs/quiet.c
%C%_programs_quiet_CFLAGS = $(hf_program_cflags)
%C%_programs_quiet_LDADD = libholdfast.la
%C%_programs_secure_SOURCES = %D%/programs/secure.c
%C%_programs_secure_CFLAGS = $(hf_program_cflags)
%C%_programs_secure_LDADD = libholdfast.la
%C%_programs_threads_SOURCES = %D%/programs/threads.c
%C%_programs_threads_CFLAGS = $(hf_program_cflags)
%C%_programs_threads_LDADD = libholdfast.la

# --- the main job of ./quickstart run: malloc untouched, -lsqlite3 from Debian ---
EXTRA_PROGRAMS += %D%/examples/sqlite/sqlite-job
%C%_examples_sqlite_sqlite_job_SOURCES = %D%/examples/sqlite/sqlite-job.c
%C%_examples_sqlite_sqlite_job_LDADD = -lsqlite3
CLEANFILES += %D%/examples/sqlite/sqlite-job

# --- models: calls interleaved at each atomic step ---
hf_models = %D%/models/idleset %D%/models/runmap
check_PROGRAMS += $(hf_models)
TESTS += $(hf_models)
hf_model_cppflags = $(AM_CPPFLAGS) -include $(srcdir)/%D%/models/steps.h
%C%_models_idleset_SOURCES = %D%/models/idleset.c %D%/models/explorer.h %D%/models/steps.h src/idleset.c
%C%_models_idleset_CPPFLAGS = $(hf_model_cppflags)
%C%_models_runmap_SOURCES = %D%/models/runmap.c %D%/models/explorer.h %D%/models/steps.h src/runmap.c
%C%_models_runmap_CPPFLAGS = $(hf_model_cppflags)

# --- unit tests: Criterion keeps the C library's malloc, the core is linked without its names ---
TAP_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
TEST_EXTENSIONS = .unit .sh .lab .tap
UNIT_LOG_DRIVER = $(TAP_LOG_DRIVER)
AM_UNIT_LOG_DRIVER_FLAGS = --ignore-exit
UNIT_LOG_COMPILER = $(SHELL) $(srcdir)/%D%/unit/tap.sh
EXTRA_DIST += %D%/unit/tap.sh
if HAVE_CRITERION
hf_units = %D%/unit/core.unit %D%/unit/idleset.unit %D%/unit/nodes.unit %D%/unit/options.unit %D%/unit/plan.unit %D%/unit/reserve.unit \
	%D%/unit/runmap.unit %D%/unit/topology.unit
check_PROGRAMS += $(hf_units)
TESTS += $(hf_units)
hf_unit_cflags = $(AM_CFLAGS) $(CRITERION_CFLAGS)
hf_unit_ldadd = libholdfast-core.la $(CRITERION_LIBS) $(HWLOC_LIBS)
%C%_unit_core_unit_SOURCES = %D%/unit/core.c
%C%_unit_core_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_core_unit_LDADD = $(hf_unit_ldadd)
%C%_unit_idleset_unit_SOURCES = %D%/unit/idleset.c
%C%_unit_idleset_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_idleset_unit_LDADD = $(hf_unit_ldadd)
%C%_unit_nodes_unit_SOURCES = %D%/unit/nodes.c
%C%_unit_nodes_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_nodes_unit_LDADD = $(hf_unit_ldadd)
%C%_unit_options_unit_SOURCES = %D%/unit/options.c
%C%_unit_options_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_options_unit_LDADD = $(hf_unit_ldadd)
%C%_unit_plan_unit_SOURCES = %D%/unit/plan.c
%C%_unit_plan_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_plan_unit_LDADD = $(hf_unit_ldadd)
%C%_unit_reserve_unit_SOURCES = %D%/unit/reserve.c
%C%_unit_reserve_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_reserve_unit_LDADD = $(hf_unit_ldadd)
%C%_unit_topology_unit_SOURCES = %D%/unit/topology.c
%C%_unit_topology_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_topology_unit_LDADD = $(hf_unit_ldadd)
%C%_unit_runmap_unit_SOURCES = %D%/unit/runmap.c
%C%_unit_runmap_unit_CFLAGS = $(hf_unit_cflags)
%C%_unit_runmap_unit_LDADD = $(hf_unit_ldadd)
endif

hf_topologies = %D%/topologies/apart.xml %D%/topologies/bare.xml %D%/topologies/container.xml %D%/topologies/cxl.xml \
	%D%/topologies/eight-sockets.xml %D%/topologies/hbm.xml %D%/topologies/node-three.xml %D%/topologies/snc-sixteen.xml
EXTRA_DIST += $(hf_topologies) %D%/topologies/make

# --- checks of the code itself ---
hf_scripts = %D%/layers.sh %D%/exports.sh %D%/models.sh %D%/tsan.sh %D%/asan.sh %D%/secure.sh %D%/manual.sh %D%/tool.sh
TESTS += $(hf_scripts)
EXTRA_DIST += $(hf_scripts) %D%/programs/secure.c
EXTRA_DIST += %D%/models/handshake.pml %D%/models/page.pml
.PHONY: check-models
check-models:
	CC='$(CC)' srcdir='$(srcdir)' $(SHELL) $(srcdir)/%D%/models.sh
AM_TESTS_ENVIRONMENT = CC='$(CC)'; export CC;

include tests/bench/local.mk
include tests/lab/local.mk

# --- real programs under preload: minutes, and packages of their own, so not part of check ---
EXTRA_DIST += %D%/programs/real-programs
.PHONY: check-programs
check-programs: libholdfast.la
	$(srcdir)/%D%/programs/real-programs --library .libs/libholdfast.so --backing thp
	$(srcdir)/%D%/programs/real-programs --library .libs/libholdfast.so --backing 2m

# --- the installed tree, used as a stranger would ---
EXTRA_DIST += %D%/installcheck.sh
installcheck-local:
	CC='$(CC)' DESTDIR='$(DESTDIR)' $(SHELL) $(srcdir)/%D%/installcheck.sh $(srcdir) $(DESTDIR)$(prefix) $(DESTDIR)$(libdir) $(DESTDIR)$(bindir)

# --- fuzzing: clang's libFuzzer with the sanitizers; its own build of the core ---
EXTRA_DIST += %D%/fuzz/calls.c
FUZZ_SECONDS = 60
.PHONY: fuzz
fuzz:
	clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -DHFI_ENABLE_DEBUG -DHFI_VERSION='"fuzz"' \
	  -fno-builtin -w -iquote $(srcdir)/src -iquote $(srcdir)/numa -I$(srcdir)/include $(srcdir)/%D%/fuzz/calls.c \
	  $(filter-out %/override.c,$(wildcard $(srcdir)/src/*.c)) $(wildcard $(srcdir)/numa/*.c) -lhwloc -o fuzz-calls
	./fuzz-calls -max_total_time=$(FUZZ_SECONDS) -max_len=2000 -rss_limit_mb=4000
CLEANFILES += fuzz-calls
