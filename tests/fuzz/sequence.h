/*
 * sequence: the text that a victim runs, made of a seed.
 */
#ifndef FUZZ_SEQUENCE_H
#define FUZZ_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "commands.h"

#define LINES_MAX (FUZZ_COMMANDS_MAX + 32)
#define LINE_BYTES 96

struct sequence {
    unsigned count;
    char lines[LINES_MAX][LINE_BYTES];
};

void sequence_make(struct sequence *sequence, uint64_t seed);

/* Passed over when there is no room. */
void sequence_add(struct sequence *sequence, const char *line);

bool sequence_has(const struct sequence *sequence, const char *part);

/* No command or setting of that name is made from now on. */
void sequence_without(const char *name);

#endif
