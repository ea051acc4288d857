# What `make check` builds and runs, a line each: to add a test is to add its line here. Automake reads this
# file, and so do the scripts that build the core for themselves (tests/build.sh). A test's source has its
# name; what else a program needs stands below its line.
#
# After the # are the other builds that a test runs in, each perhaps with an environment, as in
# secure:VARIABLE=VALUE:VARIABLE=VALUE. AddressSanitizer has all unit tests. The build with assertions (debug)
# has those and all programs, except where its line says not-debug.

# --- programs with the library linked in: malloc is ours ---
hf_programs =
hf_programs += %D%/programs/api # secure secure:HOLDFAST_BACKING=4k
hf_programs += %D%/programs/asleep # tsan
hf_programs += %D%/programs/cancel
%C%_programs_cancel_LDADD = libholdfast-core.la
%C%_programs_cancel_LDFLAGS = $(hf_wrap)prefault_force $(hf_wrap)prefault_next
hf_programs += %D%/programs/claim # secure tsan
hf_programs += %D%/programs/container # secure
hf_programs += %D%/programs/checked # secure
hf_programs += %D%/programs/crowd # secure tsan
hf_programs += %D%/programs/cxx
%C%_programs_cxx_SOURCES = %D%/programs/cxx.cc
hf_programs += %D%/programs/dontfork
hf_programs += %D%/programs/early
hf_programs += %D%/programs/exhaust # secure:HOLDFAST_ARENA=512M:HOLDFAST_BACKING=4k:HOLDFAST_LOCK=no
hf_programs += %D%/programs/filtered
hf_programs += %D%/programs/fixed # secure
hf_programs += %D%/programs/fork # secure:HOLDFAST_ARENA=64M:HOLDFAST_BACKING=4k
hf_programs += %D%/programs/fork-descriptors
hf_programs += %D%/programs/fork-direct
hf_programs += %D%/programs/fork-first-thread
hf_programs += %D%/programs/fork-full # secure
hf_programs += %D%/programs/fork-generations # secure
hf_programs += %D%/programs/fork-handlers # secure
hf_programs += %D%/programs/fork-pool
hf_programs += %D%/programs/reserve # secure
hf_programs += %D%/programs/fork-pressure # secure
hf_programs += %D%/programs/fork-signal
hf_programs += %D%/programs/fork-steps
hf_programs += %D%/programs/fork-warning
hf_programs += %D%/programs/free-steps
hf_programs += %D%/programs/freeze # secure
hf_programs += %D%/programs/grows
hf_programs += %D%/programs/heap-misuse # secure
hf_programs += %D%/programs/general # secure tsan
hf_programs += %D%/programs/heap-use # secure
hf_programs += %D%/programs/heap-slots # secure tsan
hf_programs += %D%/programs/heaps # secure secure:HOLDFAST_ARENA=512M:HOLDFAST_BACKING=4k tsan
hf_programs += %D%/programs/idle # secure
hf_programs += %D%/programs/info
hf_programs += %D%/programs/inspect
hf_programs += %D%/programs/keys
hf_programs += %D%/programs/late
%C%_programs_late_LDADD =
%C%_programs_late_LDFLAGS = -pthread -rdynamic
hf_programs += %D%/programs/live
hf_programs += %D%/programs/lockall # secure
hf_programs += %D%/programs/misuse # secure
hf_programs += %D%/programs/nodump # secure
%C%_programs_nodump_LDADD = libholdfast-core.la
%C%_programs_nodump_LDFLAGS = $(hf_wrap)os_dump
hf_programs += %D%/programs/nth-page
%C%_programs_nth_page_SOURCES = %D%/programs/nth-page.c %D%/programs/nth-page-new.cc src/names/override.c src/names/override-cxx.c
%C%_programs_nth_page_CFLAGS = $(AM_CFLAGS) -fno-builtin -fexceptions
%C%_programs_nth_page_LDADD = libholdfast-core.la
%C%_programs_nth_page_LDFLAGS = $(hf_wrap)arena_claim $(hf_wrap)arena_claim_at $(hf_wrap)arena_claim_meta
hf_programs += %D%/programs/outlet
hf_programs += %D%/programs/page-size
%C%_programs_page_size_LDADD = libholdfast-core.la
%C%_programs_page_size_LDFLAGS = $(hf_wrap)os_base_page_bytes
%C%_programs_outlet_LDADD = libholdfast-core.la
hf_programs += %D%/programs/own-names
hf_programs += %D%/programs/preempted.tap
%C%_programs_preempted_tap_LDADD = libholdfast-core.la
%C%_programs_preempted_tap_LDFLAGS = $(hf_wrap)idleset_add $(hf_wrap)idleset_remove $(hf_wrap)idleset_take \
	$(hf_wrap)page_collect_claimed $(hf_wrap)page_init $(hf_wrap)page_let_go $(hf_wrap)page_retire \
	$(hf_wrap)page_set_owner $(hf_wrap)page_claim $(hf_wrap)runmap_claim_low $(hf_wrap)runmap_release \
	$(hf_wrap)theap_adopt
hf_programs += %D%/programs/prefault
hf_programs += %D%/programs/privileged
%C%_programs_privileged_SOURCES = %D%/programs/privileged.c src/names/override.c
%C%_programs_privileged_CFLAGS = $(AM_CFLAGS) -fno-builtin -fexceptions
%C%_programs_privileged_LDADD = libholdfast-core.la
hf_programs += %D%/programs/pressure # secure tsan
hf_programs += %D%/programs/psi
%C%_programs_psi_LDADD = libholdfast-core.la
%C%_programs_psi_LDFLAGS = $(hf_wrap)os_read_once
hf_programs += %D%/programs/publish
hf_programs += %D%/programs/quiet # secure:HOLDFAST_ARENA=1500M:HOLDFAST_BACKING=thp
hf_programs += %D%/programs/quiet-child
hf_programs += %D%/programs/refused # secure
hf_programs += %D%/programs/slo
hf_programs += %D%/programs/soft-limit # secure tsan
hf_programs += %D%/programs/stats
hf_programs += %D%/programs/threads # secure secure:HOLDFAST_ARENA=512M:HOLDFAST_BACKING=4k tsan tsan:HOLDFAST_PREFAULT=background
hf_programs += %D%/programs/traced
hf_programs += %D%/programs/uring # secure
%C%_programs_uring_LDADD = libholdfast.la $(LIBURING_LIBS)
if SECURE
hf_programs += %D%/programs/secure # secure not-debug
endif

# --- unit tests: Criterion keeps the C library's malloc, the core is linked without its names ---
hf_units =
hf_units += %D%/unit/backing.unit
%C%_unit_backing_unit_LDFLAGS = $(hf_wrap)os_name $(hf_wrap)os_populate
hf_units += %D%/unit/descriptor.unit
hf_units += %D%/unit/fork.unit # secure
hf_units += %D%/unit/full.unit # secure
%C%_unit_full_unit_LDFLAGS = $(hf_wrap)arena_claim
hf_units += %D%/unit/idleset.unit
hf_units += %D%/unit/large.unit # secure
hf_units += %D%/unit/limits.unit
hf_units += %D%/unit/magazine.unit
hf_units += %D%/unit/manager.unit
%C%_unit_manager_unit_LDFLAGS = $(hf_wrap)os_now_coarse_ns
hf_units += %D%/unit/nodes.unit
hf_units += %D%/unit/options.unit
hf_units += %D%/unit/os.unit
hf_units += %D%/unit/page.unit # secure
hf_units += %D%/unit/plan.unit
hf_units += %D%/unit/prefault.unit
hf_units += %D%/unit/level.unit # secure
hf_units += %D%/unit/privileged.unit # secure
hf_units += %D%/unit/pressure.unit # secure
hf_units += %D%/unit/remote.unit # secure
hf_units += %D%/unit/reserve.unit
hf_units += %D%/unit/runmap.unit
hf_units += %D%/unit/runmap-threads.unit
hf_units += %D%/unit/steal.unit # secure
hf_units += %D%/unit/theap.unit # secure
hf_units += %D%/unit/topology.unit

# --- models: calls interleaved at each atomic step; steps.h stands between them and src/base/atomic.h ---
hf_models =
hf_models += %D%/models/idleset
%C%_models_idleset_SOURCES = %D%/models/idleset.c src/arena/idleset.c
%C%_models_idleset_CPPFLAGS = $(hf_model_cppflags)
hf_models += %D%/models/runmap
%C%_models_runmap_SOURCES = %D%/models/runmap.c src/arena/runmap.c
%C%_models_runmap_CPPFLAGS = $(hf_model_cppflags)

# --- simulations: the library's maps, on pages that are not there ---
hf_sims =
hf_sims += %D%/sim/placement
%C%_sim_placement_SOURCES = %D%/sim/placement.c %D%/sim/arena.c %D%/sim/arena.h
%C%_sim_placement_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(srcdir)/tests/bench

# --- scripts: the code itself, the tool, and builds of other kinds ---
hf_scripts =
hf_scripts += %D%/asan.sh
hf_scripts += %D%/bench.sh
hf_scripts += %D%/completion.sh
hf_scripts += %D%/cxx.sh
hf_scripts += %D%/debug.sh
hf_scripts += %D%/examples.sh
hf_scripts += %D%/exporter.sh
hf_scripts += %D%/exports.sh
hf_scripts += %D%/format.sh
hf_scripts += %D%/guides.sh
hf_scripts += %D%/last.sh
hf_scripts += %D%/tool-lab.sh
hf_scripts += %D%/layers.sh
hf_scripts += %D%/manual.sh
hf_scripts += %D%/models.sh
hf_scripts += %D%/names.sh
hf_scripts += %D%/probes.sh
hf_scripts += %D%/secure.sh
hf_scripts += %D%/segment.sh
hf_scripts += %D%/tool.sh
hf_scripts += %D%/tool-diff.sh
hf_scripts += %D%/tool-live.sh
hf_scripts += %D%/tool-map.sh
hf_scripts += %D%/tool-plan.sh
hf_scripts += %D%/tool-report.sh
hf_scripts += %D%/tool-heaps.sh
hf_scripts += %D%/tool-segment.sh
hf_scripts += %D%/tool-stat.sh
hf_scripts += %D%/tool-top.sh
hf_scripts += %D%/tool-tune.sh
hf_scripts += %D%/tsan.sh
hf_scripts += %D%/units.sh
hf_scripts += %D%/words.sh
hf_scripts += %D%/workloads.sh
