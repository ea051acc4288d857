/*
 * every: see stat.h; the metrics of all processes whose arena can be read, as one text.
 *
 * A family stands in one place, whose samples are of all processes.  So each process's text is made
 * for itself and taken apart at its families.
 *
 * Fails by leaving out: a process that ends meanwhile, or what there is no memory for.
 *
 * Test: tests/exporter.sh.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stat/stat.h"

#define FAMILIES_MAX 128
#define NAME_BYTES 96

struct family {
    char name[NAME_BYTES];
    FILE *text;
    char *bytes;
    size_t length;
};

struct collection {
    struct family families[FAMILIES_MAX]; /* in the order in which they were first met */
    size_t count;
    enum stat_metrics_form form;
    struct snapshot snapshot;
};

/* --- a text of what is printed --- */

#define KEPT_MOST 2u /* the text of all, and meanwhile that of one */

static struct {
    FILE *outside; /* standard output of before */
    FILE *text;
    char *bytes;
    size_t length;
} kept[KEPT_MOST];
static unsigned kept_count;

/* In the GNU C Library stdout is a variable. */
bool stat_kept_begin(void)
{
    if (kept_count == KEPT_MOST)
        return false;
    FILE *text = open_memstream(&kept[kept_count].bytes, &kept[kept_count].length);
    if (text == NULL)
        return false;
    kept[kept_count].text = text;
    kept[kept_count++].outside = stdout;
    stdout = text;
    return true;
}

char *stat_kept_end(size_t *length)
{
    bool whole = fclose(kept[--kept_count].text) == 0;
    stdout = kept[kept_count].outside;
    *length = kept[kept_count].length;
    if (whole)
        return kept[kept_count].bytes;
    free(kept[kept_count].bytes);
    return NULL;
}

/* --- families --- */

/* The family of a line "# TYPE NAME type"; made where it is not there, which *is_new tells; or NULL. */
static struct family *find_family(struct collection *all, const char *line, bool *is_new)
{
    char name[NAME_BYTES];
    *is_new = false;
    if (sscanf(line, "# TYPE %95s", name) != 1)
        return NULL;
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->families[i].name, name) == 0)
            return &all->families[i];
    if (all->count == FAMILIES_MAX)
        return NULL;
    struct family *family = &all->families[all->count];
    memcpy(family->name, name, sizeof name);
    family->text = open_memstream(&family->bytes, &family->length);
    all->count += family->text != NULL;
    *is_new = true;
    return family->text != NULL ? family : NULL;
}

/* Takes a process's text apart; what a family says of itself is kept once. */
static void add_text(struct collection *all, char *text)
{
    struct family *family = NULL;
    bool is_new = false;
    for (char *line = text, *end; *line != 0; line = end) {
        end = line + strcspn(line, "\n");
        end += *end != 0;
        if (strncmp(line, "# TYPE ", 7) == 0)
            family = find_family(all, line, &is_new);
        if (family != NULL && (is_new || *line != '#'))
            fwrite(line, 1, (size_t)(end - line), family->text);
    }
}

static void add_process(pid_t pid, uint64_t start_ticks, void *argument)
{
    struct collection *all = argument;
    enum segment_verdict verdict;
    const char *reason;
    char path[SEGMENT_PATH_BYTES], *text = NULL;
    size_t length;
    segment_path(path, pid, start_ticks);
    int fd = segment_open(path, pid, &verdict, &reason);
    if (fd < 0)
        return;
    verdict = snapshot_read(&all->snapshot, fd, pid, start_ticks, false, &reason);
    if (verdict == SEGMENT_OK && all->snapshot.header.pages.count <= SNAPSHOT_MAP_OFTEN)
        verdict = snapshot_read(&all->snapshot, fd, pid, start_ticks, true, &reason);
    close(fd);
    if (verdict != SEGMENT_OK || !stat_kept_begin())
        return;
    stat_metrics(&all->snapshot, all->form);
    text = stat_kept_end(&length);
    if (text != NULL)
        add_text(all, text);
    free(text);
}

bool stat_metrics_of_every(enum stat_metrics_form form)
{
    static struct collection all;
    bool whole = true;
    all.count = 0;
    all.form = form;
    segment_each(add_process, &all);
    snapshot_free(&all.snapshot);
    for (size_t i = 0; i < all.count; i++) {
        struct family *family = &all.families[i];
        whole &=
            fclose(family->text) == 0 && fwrite(family->bytes, 1, family->length, stdout) == family->length;
        free(family->bytes);
    }
    stat_metrics_end(form);
    return whole;
}
