/*
 * What the measurements of hf-bench share: runs of a program under an allocator, and medians.
 */
#include "bench.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int run(const struct allocator *allocator, const char *arena_size, char *const argv[], char *output)
{
    int ends[2];
    if (pipe(ends) != 0)
        fail("pipe:", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (allocator != NULL && allocator->library != NULL)
            setenv("LD_PRELOAD", allocator->library, 1);
        if (allocator != NULL && allocator->holdfast && arena_size != NULL) {
            setenv("HOLDFAST_ARENA", arena_size, 1);
            setenv("HOLDFAST_BACKING", backing, 1);
        }
        for (size_t i = 0; allocator != NULL && i < VARIABLES_MAX && allocator->variables[i] != NULL; i++)
            putenv(allocator->variables[i]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    char rest[4096];
    while ((got = read(ends[0], length < OUTPUT_MAX - 1 ? output + length : rest,
                       length < OUTPUT_MAX - 1 ? OUTPUT_MAX - 1 - length : sizeof rest)) > 0)
        if (length < OUTPUT_MAX - 1)
            length += (size_t)got;
    output[length] = 0;
    close(ends[0]);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        fail("wait:", strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

double number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at == NULL ? NAN : strtod(at + strlen(word), NULL);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(struct sample *sample)
{
    qsort(sample->values, (size_t)sample->count, sizeof sample->values[0], by_value);
    return sample->count == 0 ? NAN : sample->values[sample->count / 2];
}

json_t *sample_json(struct sample *sample)
{
    double middle = median(sample);
    return sample->count == 0
             ? json_null()
             : json_pack("{s:f, s:f, s:f, s:i}", "median", middle, "least", sample->values[0], "most",
                         sample->values[sample->count - 1], "runs", sample->count);
}

size_t holdfast_index(void)
{
    for (size_t a = 0; a < allocator_count; a++)
        if (allocators[a].holdfast)
            return a;
    fail("no allocator to compare:", "holdfast");
}

bool is_peer(size_t a)
{
    return !allocators[a].holdfast && !allocators[a].growing;
}

void print_heads(const char *first)
{
    printf("%-14s", first);
    for (size_t a = 0; a < allocator_count; a++)
        printf(" %20s", allocators[a].name);
    printf("\n");
}
