/*
 * openmetrics-text: see openmetrics.h; what its files write with.
 *
 * Test: tests/tool-stat.sh, by prometheus_client's parser.
 */
#include <string.h>

#include "stat/openmetrics.h"

static char labels[160]; /* of the process, in front of all others */

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

void openmetrics_head(const char *name, const char *type, const char *unit, const char *help)
{
    printf("# TYPE holdfast_%s %s\n", name, type);
    if (unit != NULL)
        printf("# UNIT holdfast_%s %s\n", name, unit);
    printf("# HELP holdfast_%s %s\n", name, help);
}

void openmetrics_counter(const char *name, const char *help, uint64_t count)
{
    openmetrics_head(name, "counter", NULL, help);
    printf("holdfast_%s_total{%s} %llu\n", name, labels, (unsigned long long)count);
}
