/*
 * sequence: see sequence.h.
 *
 * Everything is drawn from one generator, so that a seed makes the same sequence everywhere.
 */
#include "sequence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 16

/* What sequences are made without. */
static const char *without[NAMES_MAX];
static unsigned without_count;

static uint64_t state;

/* xorshift64* (Marsaglia 2003, Vigna 2016). */
static uint64_t draw(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1du >> 16) % below;
}

static uint64_t draw_size(void)
{
    static const uint64_t silly[] = {
        0,
        1,
        SIZE_MAX,
        SIZE_MAX - 15,
        SIZE_MAX - 4095,
        INT64_MAX,
        (uint64_t)INT64_MAX + 1,
        (uint64_t)1 << 40,
        (uint64_t)1 << 47,
        SIZE_MAX / 2 - 4096,
        SIZE_MAX / 16,
        SIZE_MAX / 3,
    };
    switch (draw(16)) {
    case 0: return silly[draw(sizeof silly / sizeof silly[0])];
    case 1: return draw((uint64_t)40 << 20);
    case 2: return draw((uint64_t)8 << 20);
    case 3:
    case 4: return draw(1500000);
    case 5:
    case 6:
    case 7: return draw(70000);
    case 8: return (uint64_t)65536 * (1 + draw(40));
    default: return draw(1100);
    }
}

static uint64_t draw_align(void)
{
    static const uint64_t silly[] = {
        0,
        1,
        3,
        24,
        48,
        4097,
        (uint64_t)1 << 30,
        (uint64_t)1 << 31,
        ((uint64_t)1 << 30) + 1,
        (uint64_t)1 << 40,
        (uint64_t)1 << 63,
        SIZE_MAX,
    };
    return draw(6) == 0 ? silly[draw(sizeof silly / sizeof silly[0])]
                        : (uint64_t)1 << draw(draw(4) == 0 ? 26 : 18);
}

static uint64_t draw_argument(char letter)
{
    switch (letter) {
    case 's': return draw(draw(2) == 0 ? 8 : FUZZ_SLOTS);
    case 'z': return draw_size();
    case 'a': return draw_align();
    case 'n': return 1 + draw(8);
    case 'c': return 1 + draw(draw(3) == 0 ? 8000 : 300);
    case 'e': return 1 + draw(4);
    case 'k': return draw(3) == 0 ? (uint64_t)FUZZ_END_AT_ONCE : draw(FUZZ_ENDS);
    default: return draw(64);
    }
}

static bool is_without(const char *name)
{
    for (unsigned i = 0; i < without_count; i++)
        if (strcmp(without[i], name) == 0)
            return true;
    return false;
}

bool sequence_has(const struct sequence *sequence, const char *part)
{
    for (unsigned i = 0; i < sequence->count; i++)
        if (strstr(sequence->lines[i], part) != NULL)
            return true;
    return false;
}

static void __attribute__((format(printf, 2, 3))) add(struct sequence *sequence, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (sequence->count < LINES_MAX)
        vsnprintf(sequence->lines[sequence->count++], LINE_BYTES, format, arguments);
    va_end(arguments);
}

static void add_command(struct sequence *sequence, const char *prefix, unsigned kind)
{
    char text[LINE_BYTES];
    size_t length = (size_t)snprintf(text, sizeof text, "%s %s", prefix, fuzz_kinds[kind].name);
    for (const char *letter = fuzz_kinds[kind].arguments; *letter != 0; letter++)
        length += (size_t)snprintf(text + length, sizeof text - length, " %llu",
                                   (unsigned long long)draw_argument(*letter));
    add(sequence, "%s", text);
}

static unsigned draw_kind(unsigned where)
{
    uint64_t weight = 0;
    for (unsigned kind = 0; kind < FUZZ_KINDS; kind++)
        if ((fuzz_kinds[kind].where & where) == where && !is_without(fuzz_kinds[kind].name))
            weight += fuzz_kinds[kind].weight;
    uint64_t at = draw(weight);
    for (unsigned kind = 0;; kind++) {
        if ((fuzz_kinds[kind].where & where) != where || is_without(fuzz_kinds[kind].name))
            continue;
        if (at < fuzz_kinds[kind].weight)
            return kind;
        at -= fuzz_kinds[kind].weight;
    }
}

static void add_setting(struct sequence *sequence, const char *name, const char *const *values,
                        unsigned count)
{
    uint64_t at = draw(count);
    if (values[at][0] != 0 && !is_without(name) && !is_without(values[at]))
        add(sequence, "env HOLDFAST_%s=%s", name, values[at]);
}

static void make_settings(struct sequence *sequence)
{
    static const char *const arenas[] = { "", "", "8M", "16M", "32M", "64M" }, *const backings[] = { "4k",
                                                                                                     "thp" };
    static const char *const prefaults[] = { "", "startup", "background", "none" }, *const forks[] = {
        "", "", "private", "dontfork"
    };
    static const char *const switches[] = { "", "0", "1" }, *const locks[] = { "", "no", "yes", "auto" };
    add(sequence, "library %s", draw(2) == 0 ? "shared" : "static");
    add_setting(sequence, "ARENA", arenas, 6);
    add_setting(sequence, "BACKING", backings, 2);
    add_setting(sequence, "PREFAULT", prefaults, 4);
    add_setting(sequence, "FORK", forks, 4);
    add_setting(sequence, "INSPECT", switches, 3);
    add_setting(sequence, "VERBOSE", switches, 3);
    add_setting(sequence, "LOCK", locks, 4);
    for (uint64_t i = draw(4) == 0 ? 1 + draw(3) : 0; i > 0; i--)
        add_command(sequence, "start", draw_kind(FUZZ_AT_START));
}

void sequence_make(struct sequence *sequence, uint64_t seed)
{
    char prefix[16];
    sequence->count = 0;
    state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < 8; i++)
        draw(1);
    make_settings(sequence);
    unsigned lanes = 1 + (unsigned)draw(FUZZ_LANES);
    for (uint64_t length = 5 + draw(draw(3) == 0 ? 150 : 50); length > 0; length--) {
        snprintf(prefix, sizeof prefix, "%u", draw(3) == 0 ? 0 : (unsigned)draw(lanes));
        add_command(sequence, prefix, draw_kind(0));
    }
    add_command(sequence, "0", FUZZ_end);
}

void sequence_add(struct sequence *sequence, const char *line)
{
    add(sequence, "%s", line);
}

void sequence_without(const char *name)
{
    if (without_count < NAMES_MAX)
        without[without_count++] = name;
}
