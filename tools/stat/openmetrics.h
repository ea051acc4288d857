/*
 * openmetrics: what the files that write OpenMetrics share.
 */
#ifndef HFT_OPENMETRICS_H
#define HFT_OPENMETRICS_H

#include "show/show.h"
#include "stat/stat.h"

/* Labels of the process, in front of all others: once set, by what is shown. */
void openmetrics_set_labels(const struct snapshot *snapshot);
const char *openmetrics_labels(void);

/* How families are told of. */
void openmetrics_set_form(enum stat_metrics_form form);

/* TYPE, UNIT (unless NULL) and HELP of a family. */
void openmetrics_head(const char *name, const char *type, const char *unit, const char *help);

/* A counter of the process. */
void openmetrics_counter(const char *name, const char *help, uint64_t count);

/* openmetrics-heaps.c */
void openmetrics_heaps(const struct snapshot *snapshot);

#endif
