# The tool links the core: options, topology and messages are the library's own, malloc is the C library's.
bin_PROGRAMS += holdfast
holdfast_SOURCES = \
	%D%/advice.c %D%/advice.h \
	%D%/advice-view.c \
	%D%/checks.c %D%/checks.h \
	%D%/checks-arena.c \
	%D%/checks-keep.c \
	%D%/checks-machine.c \
	%D%/common.c \
	%D%/doctor.c \
	%D%/history.c %D%/history.h \
	%D%/holdfast.c \
	%D%/list.c \
	%D%/live.c %D%/live.h \
	%D%/map.c %D%/map.h \
	%D%/map-svg.c \
	%D%/openmetrics.c \
	%D%/origin.c %D%/origin.h \
	%D%/outlook.c %D%/outlook.h \
	%D%/plan.c \
	%D%/record.c \
	%D%/recording.c %D%/recording.h \
	%D%/report.c %D%/report.h \
	%D%/report-bands.c \
	%D%/report-events.c \
	%D%/report-growth.c \
	%D%/report-head.c \
	%D%/report-pages.c \
	%D%/report-pair.c \
	%D%/report-parts.c \
	%D%/report-scale.c \
	%D%/report-settings.c %D%/report-settings.h \
	%D%/report-slow.c \
	%D%/report-style.c \
	%D%/report-text.c \
	%D%/report-time.c \
	%D%/run.c \
	%D%/run-report.c %D%/run-report.h \
	%D%/sample.c %D%/sample.h \
	%D%/segment.c \
	%D%/show.c %D%/show.h \
	%D%/show-live.c \
	%D%/snapshot.c %D%/snapshot.h \
	%D%/snapshot-pages.c \
	%D%/stat.c %D%/stat.h \
	%D%/stat-json.c \
	%D%/stat-text.c \
	%D%/stat-watch.c \
	%D%/target.c \
	%D%/tool.h \
	%D%/top.c %D%/top.h \
	%D%/top-data.c \
	%D%/top-table.c \
	%D%/tune.c \
	%D%/unshown.c
if HAVE_NCURSES
holdfast_SOURCES += %D%/top-graph.c %D%/top-head.c %D%/top-nodes.c %D%/top-screen.c %D%/top-views.c
else
holdfast_SOURCES += %D%/top-none.c
endif
holdfast_CPPFLAGS = $(AM_CPPFLAGS) -DHF_LIBRARY_PATH='"$(libdir)/libholdfast.so.0"'
holdfast_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(LIBURING_CFLAGS) $(NCURSES_CFLAGS)
holdfast_LDADD = libholdfast-core.la $(JANSSON_LIBS) $(LIBURING_LIBS) $(HWLOC_LIBS) $(NCURSES_LIBS) -lm

bashcompletiondir = $(datadir)/bash-completion/completions
nodist_bashcompletion_DATA = %D%/holdfast
zshcompletiondir = $(datadir)/zsh/site-functions
nodist_zshcompletion_DATA = %D%/_holdfast
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_fishcompletion_DATA = %D%/holdfast.fish
EXTRA_DIST += %D%/holdfast.bash %D%/holdfast.zsh
CLEANFILES += %D%/holdfast %D%/_holdfast

# Completions are looked up by the name of the program.
%D%/_holdfast: %D%/holdfast.zsh
	$(AM_V_GEN)$(MKDIR_P) %D% && cp $< $@
%D%/holdfast: %D%/holdfast.bash
	$(AM_V_GEN)$(MKDIR_P) %D% && cp $< $@
