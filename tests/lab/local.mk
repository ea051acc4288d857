# --- the multi-node lab: virtual machines of QEMU, whose programs have Holdfast's own objects inside ---
hf_lab_programs = %D%/fill %D%/overflow %D%/pages %D%/place %D%/server %D%/torment %D%/workers \
	%D%/chaos/chaos
hf_lab_machines = %D%/chaos.lab %D%/eight-nodes.lab %D%/four-nodes.lab %D%/memory-only.lab %D%/pool-limit.lab \
	%D%/short-pool.lab
check_PROGRAMS += $(hf_lab_programs)
TESTS += $(hf_lab_machines)
EXTRA_DIST += $(hf_lab_machines) %D%/programs.lab %D%/lab %D%/lab.h %D%/init
DISTCLEANFILES += %D%/vmlinuz %D%/busybox %D%/modules/*.ko
LAB_LOG_DRIVER = $(TAP_LOG_DRIVER)
LAB_LOG_COMPILER = $(SHELL) $(srcdir)/%D%/lab
AM_LAB_LOG_FLAGS = run

hf_lab_cflags = $(AM_CFLAGS) -O1 -fno-builtin
%C%_fill_SOURCES = %D%/fill.c
%C%_fill_CFLAGS = $(hf_lab_cflags)
%C%_fill_LDADD = libholdfast.la
%C%_fill_LDFLAGS = -static
%C%_overflow_SOURCES = %D%/overflow.c
%C%_overflow_CFLAGS = $(hf_lab_cflags)
%C%_overflow_LDADD = libholdfast.la
%C%_overflow_LDFLAGS = -static
%C%_pages_SOURCES = %D%/pages.c
%C%_pages_CFLAGS = $(hf_lab_cflags)
%C%_pages_LDADD = libholdfast.la
%C%_pages_LDFLAGS = -static
%C%_place_SOURCES = %D%/place.c
%C%_place_CFLAGS = $(hf_lab_cflags)
%C%_place_LDADD = libholdfast.la
%C%_place_LDFLAGS = -static
%C%_server_SOURCES = %D%/server.c
%C%_server_CFLAGS = $(hf_lab_cflags)
%C%_server_LDADD = libholdfast.la
%C%_server_LDFLAGS = -static
%C%_workers_SOURCES = %D%/workers.c
%C%_workers_CFLAGS = $(hf_lab_cflags)
%C%_workers_LDADD = libholdfast.la
%C%_workers_LDFLAGS = -static
%C%_torment_SOURCES = %D%/torment.c
%C%_torment_CFLAGS = $(hf_lab_cflags)
%C%_torment_LDADD = libholdfast.la
%C%_torment_LDFLAGS = -static
%C%_chaos_chaos_SOURCES = %D%/chaos/chaos.c %D%/chaos/chaos.h %D%/chaos/faults.c %D%/chaos/workers.c
%C%_chaos_chaos_CFLAGS = $(hf_lab_cflags)
%C%_chaos_chaos_LDFLAGS = -static

.PHONY: chaos check-emulated check-numa numa-shell
check-numa: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(hf_lab_machines)'

# The programs of tests/programs on an emulated machine, of the processor that they were built for.
check-emulated: all
	$(MAKE) $(AM_MAKEFLAGS) $(check_PROGRAMS)
	HOLDFAST_TEST_LAB_SECONDS=3600 $(SHELL) $(srcdir)/%D%/lab run $(srcdir)/%D%/programs.lab

# make chaos SEED=1 SECONDS=1800
SEED = 1
SECONDS = 1800
chaos: all
	$(MAKE) $(AM_MAKEFLAGS) $(check_PROGRAMS)
	HOLDFAST_TEST_LAB_SECONDS=$$(($(SECONDS) + 600)) HOLDFAST_TEST_LAB_OPTIONS='seed=$(SEED) seconds=$(SECONDS)' \
	    $(SHELL) $(srcdir)/%D%/lab run $(srcdir)/%D%/chaos.lab

LAB_MACHINE = four-nodes
numa-shell: all
	$(MAKE) $(AM_MAKEFLAGS) $(check_PROGRAMS)
	$(SHELL) $(srcdir)/%D%/lab shell $(srcdir)/%D%/$(LAB_MACHINE).lab
