/*
 * attempt: how a reservation says what it cannot have.
 *
 * What cannot be had goes through hfi_degraded: one line, then on without it, or the end under
 * HOLDFAST_STRICT=1 (exit status 78).  HF-Wnnn and HF-Ennn are the same thing in those two cases.
 *
 * Test: tests/unit/reserve.c.
 */
#include "arena/attempt.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

void hfi_degraded(const struct attempt *attempt, const char *warning_id, const char *error_id,
                  const char *instead, const char *next, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (attempt->options->strict) {
        hfi_say(SAY_ERROR, error_id, "reserve", "%s: the program does not start (HOLDFAST_STRICT=1); %s",
                what, next);
        _exit(EX_CONFIG);
    }
    hfi_say(SAY_WARNING, warning_id, "reserve", "%s: %s; %s", what, instead, next);
}
