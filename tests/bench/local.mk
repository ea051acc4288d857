# --- measurements: `make bench`, or by hand with more options (tests/bench/README.md) ---
check_PROGRAMS += %D%/hf-bench %D%/hf-workload
%C%_hf_bench_SOURCES = %D%/hf-bench.c %D%/bench.h %D%/bench.c %D%/bench-calls.c %D%/bench-memory.c \
	%D%/bench-start.c %D%/bench-workloads.c
%C%_hf_bench_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
%C%_hf_bench_LDADD = $(JANSSON_LIBS) -lm
%C%_hf_workload_SOURCES = %D%/hf-workload.c %D%/mixes.h %D%/workload.h %D%/workload-batches.c %D%/workload-calls.c \
	%D%/workload-full.c %D%/workload-handed.c %D%/workload-held.c %D%/workload-lines.c %D%/workload-memory.c \
	%D%/workload-own.c %D%/workload-requests.c
%C%_hf_workload_CFLAGS = $(AM_CFLAGS) -O2 -fno-builtin
EXTRA_DIST += %D%/README.md %D%/broken.c %D%/stress.sh
CLEANFILES += bench.json

BENCH_FLAGS = --all
PEERS =
.PHONY: bench
bench: libholdfast.la %D%/hf-bench %D%/hf-workload
	%D%/hf-bench --holdfast $(abs_builddir)/.libs/libholdfast.so --json bench.json \
		$(PEERS:%=--so %) $(BENCH_FLAGS)

.PHONY: stress
stress: libholdfast.la %D%/hf-workload
	srcdir=$(srcdir) $(SHELL) $(srcdir)/%D%/stress.sh $(STRESS_SECONDS)
