/*
 * recording: libFuzzer over what `holdfast tune FILE` and `holdfast report FILE` read.
 *
 * Input is a recording.  Its head and checksums are put right first, unless its first byte is odd,
 * so that what is behind them is met; then it is read, and advice and the whole page are written to
 * /dev/null.
 *
 *   make fuzz-recording FUZZ_SECONDS=600
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"

#define HEAD_BYTES 1024

static uint32_t crc32_of(const uint8_t *bytes, size_t count)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* What a writer of this version puts first: the head, and the sizes of entries.  Its length. */
static size_t make_head(uint8_t head[HEAD_BYTES])
{
    FILE *file = tmpfile();
    recording_free(recording_create(file, 1000000000, "fuzz"));
    rewind(file);
    size_t length = fread(head, 1, HEAD_BYTES, file);
    if (length < sizeof(struct recording_head) || length == HEAD_BYTES)
        abort();
    fclose(file);
    return length;
}

static void put_right(uint8_t *bytes, size_t count)
{
    static uint8_t head[HEAD_BYTES];
    static size_t head_bytes;
    if (head_bytes == 0)
        head_bytes = make_head(head);
    if (count < head_bytes)
        return;
    memcpy(bytes, head, head_bytes);
    for (size_t at = head_bytes; at + 8 <= count;) {
        uint32_t length, crc;
        memcpy(&length, bytes + at, 4);
        if (length > count - at - 8)
            memcpy(bytes + at, (uint32_t[]){ length = (uint32_t)(count - at - 8) }, 4);
        crc = crc32_of(bytes + at + 8, length);
        memcpy(bytes + at + 4, &crc, 4);
        at += 8 + length;
    }
}

static void show(const struct history *history)
{
    static struct advice advice[ADVICE_MAX];
    static FILE *nowhere;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    unsigned count = advice_give(history, 0, advice);
    struct report report = {
        .out = nowhere,
        .history = history,
        .sample = history->last,
        .snapshot = &history->last->snapshot,
        .advice = advice,
        .advice_count = count,
    };
    report_page(&report, NULL);
    tune_print(history, advice, count, false, ADVICE_SETTLED_S);
    tune_print(history, advice, count, true, ADVICE_SETTLED_S);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    if (freopen("/dev/null", "w", stdout) == NULL)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct history history = { .samples = 0 };
    if (size < sizeof(struct recording_head))
        return 0;
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    if (copy[0] % 2 == 0)
        put_right(copy, size);
    FILE *file = fmemopen(copy, size, "r");
    if (history_read(&history, file, "input", "fuzz") == 0)
        show(&history);
    history_free(&history);
    fclose(file);
    free(copy);
    return 0;
}
