# --- programs with the library linked in: malloc is ours ---
hf_programs = %D%/programs/api %D%/programs/cxx %D%/programs/early %D%/programs/exhaust %D%/programs/fork \
	%D%/programs/idle %D%/programs/misuse %D%/programs/quiet %D%/programs/threads
check_PROGRAMS += $(hf_programs)
TESTS += $(hf_programs)
EXTRA_DIST += %D%/programs/test.h

hf_program_cflags = $(AM_CFLAGS) -O1 -fno-builtin
%C%_programs_api_SOURCES = %D%/programs/api.c
%C%_programs_api_CFLAGS = $(hf_program_cflags)
%C%_programs_api_LDADD = libholdfast.la
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
%C%_programs_idle_SOURCES = %D%/programs/idle.c
%C%_programs_idle_CFLAGS = $(hf_program_cflags)
%C%_programs_idle_LDADD = libholdfast.la
%C%_programs_misuse_SOURCES = %D%/programs/misuse.c
%C%_programs_misuse_CFLAGS = $(hf_program_cflags)
%C%_programs_misuse_LDADD = libholdfast.la
%C%_programs_quiet_SOURCES = %D%/programs/quiet.c
%C%_programs_quiet_CFLAGS = $(hf_program_cflags)
%C%_programs_quiet_LDADD = libholdfast.la
%C%_programs_threads_SOURCES = %D%/programs/threads.c
%C%_programs_threads_CFLAGS = $(hf_program_cflags)
%C%_programs_threads_LDADD = libholdfast.la

# --- the main job of ./quickstart run: malloc untouched, -lsqlite3 from Debian ---
EXTRA_PROGRAMS += %D%/examples/sqlite/sqlite-job
%C%_examples_sqlite_sqlite_job_SOURCES = %D%/examples/sqlite/sqlite-job.c
%C%_examples_sqlite_sqlite_job_LDADD = -lsqlite3
CLEANFILES += %D%/examples/sqlite/sqlite-job
