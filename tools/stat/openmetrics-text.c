/*
 * openmetrics-text: see openmetrics.h; what its files write with.
 *
 * Test: tests/tool-stat.sh, by prometheus_client's parser.
 */
#include <string.h>

#include "stat/openmetrics.h"

static char labels[160]; /* of the process, in front of all others */
static bool plain;       /* the format before OpenMetrics */

void openmetrics_set_form(enum stat_metrics_form form)
{
    plain = form == METRICS_PLAIN;
}

const char *openmetrics_labels(void)
{
    return labels;
}

void openmetrics_set_labels(const struct snapshot *snapshot)
{
    char name[64], escaped[128];
    size_t length = 0;
    target_shown_name(snapshot, name, sizeof name);
    if (strcmp(name, "?") != 0)
        for (const char *at = name; *at != 0 && length + 2 < sizeof escaped; at++) {
            if (*at == '"' || *at == '\\')
                escaped[length++] = '\\';
            escaped[length++] = *at;
        }
    escaped[length] = 0;
    snprintf(labels, sizeof labels, "pid=\"%llu\",process=\"%s\"", (unsigned long long)snapshot->header.pid,
             escaped);
}

/* Before OpenMetrics a counter's family had the name of its samples, and units were not told. */
void openmetrics_head(const char *name, const char *type, const char *unit, const char *help)
{
    const char *suffix = plain && strcmp(type, "counter") == 0 ? "_total" : "";
    printf("# TYPE holdfast_%s%s %s\n", name, suffix, type);
    if (unit != NULL && !plain)
        printf("# UNIT holdfast_%s %s\n", name, unit);
    printf("# HELP holdfast_%s%s %s\n", name, suffix, help);
}

void openmetrics_counter(const char *name, const char *help, uint64_t count)
{
    openmetrics_head(name, "counter", NULL, help);
    printf("holdfast_%s_total{%s} %llu\n", name, labels, (unsigned long long)count);
}
