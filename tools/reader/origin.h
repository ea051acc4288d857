/*
 * origin: where a process runs, for whoever reads a recording or a report elsewhere: host, kernel,
 * cgroup and command line.
 */
#ifndef HFT_ORIGIN_H
#define HFT_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ORIGIN_UNLIMITED UINT64_MAX

/* Words of 64 bits, as recordings store them.  All zero: not told, as in recordings of before;
 * texts end with a zero. */
struct sample_origin {
    char host[64];
    char kernel[128];             /* "Linux 6.1.0-13-amd64, x86_64" */
    char cgroup[256];             /* path; of version 2, or of the memory controller of version 1 */
    char cpus[64], nodes[64];     /* it may use, as the kernel lists them */
    char command[1024];           /* one line, secrets hidden; empty: left out, or not readable */
    uint64_t cgroup_memory_bytes; /* the least of its and its parents'; ORIGIN_UNLIMITED; 0: not told */
    uint64_t cgroup_high_bytes;
    uint64_t cgroup_pool_bytes[2]; /* of huge pages of 2 MiB, of 1 GiB */
    uint64_t command_bytes;        /* of the whole command line; more than `command` has: it was cut */
    uint64_t hidden;               /* words of it that are hidden */
    uint64_t ended;                /* 1: the process had ended when it was looked at */
};

/* What cannot be read stays as it was: a process that has ended has the origin that it had. */
void origin_look(struct sample_origin *origin, pid_t pid, bool with_command);

/* Of an origin that somebody else wrote. */
static inline void origin_end_texts(struct sample_origin *origin)
{
    char *const texts[] = { origin->host, origin->kernel, origin->cgroup,
                            origin->cpus, origin->nodes,  origin->command };
    const size_t bytes[] = { sizeof origin->host, sizeof origin->kernel, sizeof origin->cgroup,
                             sizeof origin->cpus, sizeof origin->nodes,  sizeof origin->command };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        texts[i][bytes[i] - 1] = 0;
}

/* Joins the words of a command line, each ended by a zero, into one line for a reader, quoted as a
 * shell would want them.  "***" stands for the value of an option or variable whose name speaks of
 * a secret, and for a password in an address.  How many are hidden.  Cut, it ends with "...". */
unsigned origin_command(char *line, size_t line_bytes, const char *words, size_t words_bytes);

#endif
