# The tool links the core: options, topology and messages are the library's own, malloc is the C library's.
bin_PROGRAMS += holdfast

# What reads segments and recordings: a program of the tests links it too.
hf_reader = \
	%D%/common.c %D%/tool.h \
	%D%/reader/counters.c \
	%D%/reader/history.c %D%/reader/history.h \
	%D%/reader/last.c %D%/reader/last.h \
	%D%/reader/live.c %D%/reader/live.h \
	%D%/reader/origin.c %D%/reader/origin.h \
	%D%/reader/procfs.c %D%/reader/procfs.h \
	%D%/reader/recording-parts.c %D%/reader/recording-parts.h \
	%D%/reader/recording-write.c \
	%D%/reader/recording-read.c %D%/reader/recording.h \
	%D%/reader/sample.c %D%/reader/sample.h \
	%D%/reader/segment.c %D%/reader/segment.h \
	%D%/reader/snapshot-heaps.c \
	%D%/reader/snapshot-pages.c \
	%D%/reader/snapshot-read.c \
	%D%/reader/snapshot.c %D%/reader/snapshot.h \
	%D%/reader/target.c %D%/reader/target.h \
	%D%/reader/unshown.c %D%/reader/unshown.h

holdfast_SOURCES = $(hf_reader) \
	%D%/holdfast.c \
	%D%/show/show-live.c \
	%D%/show/show-wrap.c \
	%D%/show/show.c %D%/show/show.h \
	%D%/machine/checks-arena.c \
	%D%/machine/checks-keep.c \
	%D%/machine/checks-limits.c \
	%D%/machine/checks-machine.c \
	%D%/machine/checks-main.c \
	%D%/machine/checks-nodes.c \
	%D%/machine/checks-pools.c \
	%D%/machine/checks.c %D%/machine/checks.h \
	%D%/machine/doctor.c \
	%D%/machine/keep.c %D%/machine/keep.h \
	%D%/machine/outlook.c %D%/machine/outlook.h \
	%D%/machine/plan.c \
	%D%/machine/service.c %D%/machine/service.h \
	%D%/stat/every.c \
	%D%/stat/http.c \
	%D%/stat/list.c \
	%D%/stat/openmetrics.c %D%/stat/openmetrics.h \
	%D%/stat/openmetrics-heaps.c \
	%D%/stat/openmetrics-text.c \
	%D%/stat/stat-json.c \
	%D%/stat/stat-text.c \
	%D%/stat/stat-watch.c \
	%D%/stat/stat.c %D%/stat/stat.h \
	%D%/top/top-data.c \
	%D%/top/top-table.c \
	%D%/top/top.c %D%/top/top.h \
	%D%/map/map-svg.c \
	%D%/map/map.c %D%/map/map.h \
	%D%/report/diff.c \
	%D%/report/report-axes.c \
	%D%/report/report-bands.c \
	%D%/report/report-events.c \
	%D%/report/report-growth.c \
	%D%/report/report-head.c \
	%D%/report/report-heaps.c \
	%D%/report/report-pages.c \
	%D%/report/report-pair.c \
	%D%/report/report-parts.c \
	%D%/report/report-scale.c \
	%D%/report/report-settings.c %D%/report/report-settings.h \
	%D%/report/report-slow.c \
	%D%/report/report-style.c \
	%D%/report/report-text.c \
	%D%/report/report-time.c \
	%D%/report/report.c %D%/report/report.h \
	%D%/advice/advice-view.c \
	%D%/advice/advice.h \
	%D%/advice/rules-backing.c \
	%D%/advice/rules-place.c \
	%D%/advice/rules-heaps.c \
	%D%/advice/rules-late.c \
	%D%/advice/rules-program.c \
	%D%/advice/rules-size.c \
	%D%/advice/rules.c %D%/advice/rules.h \
	%D%/advice/tune.c \
	%D%/run/lab.c \
	%D%/run/record.c \
	%D%/run/run-report.c %D%/run/run-report.h \
	%D%/run/run.c \
	%D%/run/watch.c %D%/run/watch.h
if HAVE_NCURSES
holdfast_SOURCES += %D%/top/top-graph.c %D%/top/top-head.c %D%/top/top-nodes.c %D%/top/top-rows.c %D%/top/top-screen.c %D%/top/top-views.c
else
holdfast_SOURCES += %D%/top/top-none.c
endif
holdfast_CPPFLAGS = $(AM_CPPFLAGS) -DHF_LIBRARY_PATH='"$(libdir)/libholdfast.so.0"' -DHF_DATA_PATH='"$(pkgdatadir)"'
holdfast_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(LIBURING_CFLAGS) $(NCURSES_CFLAGS)
holdfast_LDADD = libholdfast-core.la $(JANSSON_LIBS) $(LIBURING_LIBS) $(HWLOC_LIBS) $(NCURSES_LIBS) -lm

# What `holdfast lab` boots; configure.ac links them into the build tree.
dist_pkgdata_DATA = %D%/lab/guest %D%/lab/lab.sh %D%/lab/machine.sh

bashcompletiondir = $(datadir)/bash-completion/completions
nodist_bashcompletion_DATA = %D%/holdfast
zshcompletiondir = $(datadir)/zsh/site-functions
nodist_zshcompletion_DATA = %D%/_holdfast
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_fishcompletion_DATA = %D%/holdfast.fish
EXTRA_DIST += %D%/LAYERS %D%/holdfast.bash %D%/holdfast.zsh
CLEANFILES += %D%/holdfast %D%/_holdfast

# Completions are looked up by the name of the program.
%D%/_holdfast: %D%/holdfast.zsh
	$(AM_V_GEN)$(MKDIR_P) %D% && cp $< $@
%D%/holdfast: %D%/holdfast.bash
	$(AM_V_GEN)$(MKDIR_P) %D% && cp $< $@

# The exporter: units of systemd, and what Prometheus and Grafana read.
systemdunitdir = $(prefix)/lib/systemd/system
dist_systemdunit_DATA = %D%/exporter/holdfast-exporter.socket
nodist_systemdunit_DATA = %D%/exporter/holdfast-exporter@.service
dist_pkgdata_DATA += %D%/exporter/holdfast-dashboard.json %D%/exporter/holdfast.rules.yml
EXTRA_DIST += %D%/exporter/holdfast-exporter.service.in
CLEANFILES += %D%/exporter/holdfast-exporter@.service
%D%/exporter/holdfast-exporter@.service: %D%/exporter/holdfast-exporter.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) %D%/exporter && sed 's,[@]bindir[@],$(bindir),' $(srcdir)/%D%/exporter/holdfast-exporter.service.in > $@
