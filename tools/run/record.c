/*
 * record: samples of a live process into a file; recording.h has its form.
 *
 * The file is whole after each sample: it can be cut, copied or read while it grows.  An interrupt,
 * the end of the time given or of the process makes a last sample, with the page map in full.  A
 * process that ended is read a last time from the segment's open descriptor.
 *
 * Test: tests/tool-report.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel/cpu.h"
#include "reader/last.h"
#include "reader/recording.h"
#include "show/show.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void catch_interrupts(void)
{
    const struct sigaction action = { .sa_handler = interrupt }; /* no SA_RESTART: it ends the sleep */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is an error of writing, to be said */
}

struct job {
    struct target target;
    const char *path;
    uint64_t interval_ns, duration_ns; /* duration 0: until the process ends */
    struct sample *sample;
    struct recording *recording;
    FILE *file;
    uint64_t samples;
    bool without_command;
    bool last; /* of a process that was killed */
};

static int write_failed(const struct job *job, int error)
{
    if (job->samples == 0)
        hfi_say(SAY_ERROR, "HF-E441", "record",
                "%s could not be written (%s), and holds no sample; name a file elsewhere with -o", job->path,
                strerror(error));
    else
        hfi_say(
            SAY_ERROR, "HF-E441", "record",
            "%s could not be written to its end (%s): the first %llu samples are whole; look at them with "
            "`holdfast report`, and name a file elsewhere with -o",
            job->path, strerror(error), (unsigned long long)job->samples);
    return EXIT_FAILURE;
}

/* Some file systems tell only now that there was no room. */
static int close_failed(const struct job *job, int error)
{
    hfi_say(SAY_ERROR, "HF-E441", "record",
            "%s could not be closed (%s), and may lack some of its %llu samples; see what `holdfast report` "
            "finds in it, and name a file elsewhere with -o",
            job->path, strerror(error), (unsigned long long)job->samples);
    return EXIT_FAILURE;
}

static int take(struct job *job, bool last)
{
    bool whole = last || job->samples % RECORDING_THEAPS_EVERY == 0;
    int status = sample_take(job->sample, &job->target, whole, "record");
    int error = status != 0 ? 0 : recording_append(job->recording, job->sample, whole, last);
    if (error != 0)
        return write_failed(job, -error);
    job->samples += status == 0;
    return status;
}

static void sleep_until(uint64_t ns)
{
    const struct timespec then = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
}

/* Moments that were missed, the machine being busy or asleep, are passed over. */
static int follow(struct job *job)
{
    uint64_t start = hfi_os_now_ns(), next = start;
    uint64_t end = job->duration_ns != 0 ? start + job->duration_ns : UINT64_MAX;
    int status = take(job, false);
    while (status == 0 && interrupted == 0) {
        next += job->interval_ns * (1 + (hfi_os_now_ns() - next) / job->interval_ns);
        if (next > end || job->last)
            break;
        sleep_until(next);
        if (interrupted != 0 || !target_lives(&job->target))
            break;
        status = take(job, false);
    }
    if (status == 0 && interrupted == 0 && end != UINT64_MAX && target_lives(&job->target))
        sleep_until(end);
    return status != 0 ? status : take(job, true);
}

static int record(struct job *job)
{
    char size[SHOW_SHORT];
    struct stat file;
    int fd = open(job->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    job->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (job->file == NULL)
        return write_failed(job, errno);
    job->recording = recording_create(job->file, job->interval_ns, "record");
    job->sample = sample_new("record");
    if (job->recording == NULL || job->sample == NULL)
        return EXIT_FAILURE;
    job->sample->without_command = job->without_command;
    catch_interrupts();
    uint64_t start = hfi_os_now_ns();
    int status = follow(job);
    if (status == 0)
        hfi_say(SAY_INFO, "HF-I442", "record",
                "%llu samples in %.1f s, %s in %s%s%s; look at it with `holdfast report %s -o FILE.html`",
                (unsigned long long)job->samples, (double)(hfi_os_now_ns() - start) / 1e9,
                show_size(size, fstat(fd, &file) == 0 ? (uint64_t)file.st_size : 0), job->path,
                target_lives(&job->target) ? "" : ", and the process ended",
                job->sample->origin.command[0] != 0
                    ? ", with the command line in it, which --no-command leaves out"
                    : "",
                job->path);
    return status;
}

static int record_target(struct job *job, const char *text)
{
    int status = job->last ? target_open_last(&job->target, text, "record")
                           : target_open(&job->target, text, "record");
    if (status != 0)
        return status;
    status = record(job);
    recording_free(job->recording);
    sample_free(job->sample);
    if (job->file != NULL && fclose(job->file) != 0 && status == 0)
        status = close_failed(job, errno);
    target_close(&job->target);
    return status;
}

/* --- the command line --- */

enum { OPTION_INTERVAL = 256, OPTION_DURATION, OPTION_NO_COMMAND, OPTION_LAST };

static int record_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "interval", required_argument, NULL, OPTION_INTERVAL },
        { "duration", required_argument, NULL, OPTION_DURATION },
        { "output", required_argument, NULL, 'o' },
        { "no-command", no_argument, NULL, OPTION_NO_COMMAND },
        { "last", no_argument, NULL, OPTION_LAST },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct job job = { .interval_ns = 1000000000 };
    int option;
    while ((option = tool_getopt(argc, argv, ":ho:", long_options, "record")) != -1) {
        if (option == 'h')
            return tool_help(&tool_record);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'o')
            job.path = optarg;
        else if (option == OPTION_NO_COMMAND)
            job.without_command = true;
        else if (option == OPTION_LAST)
            job.last = true;
        else if (!tool_seconds(optarg, 0.01, option == OPTION_INTERVAL ? &job.interval_ns : &job.duration_ns,
                               "record"))
            return EXIT_CONFIG;
    }
    if (job.path != NULL && !tool_is_file(job.path, "-o", "record"))
        return EXIT_CONFIG;
    if (argc - optind > 1 || job.path == NULL) {
        hfi_say(SAY_ERROR, "HF-E440", "record", "%s; see `holdfast help record`",
                job.path == NULL ? "no file is named to record into (-o FILE)" : "one process at a time");
        return EXIT_USAGE;
    }
    return record_target(&job, argv[optind]);
}

const struct command tool_record = {
    .name = "record",
    .summary = "record the arena of a running process over time",
    .help =
        "usage: holdfast record [PID] -o FILE [--interval SECONDS] [--duration SECONDS] [--no-command]\n"
        "\n"
        "Writes samples of the arena of process PID into FILE, until the process ends, the time is\n"
        "over, or Ctrl-C.  `holdfast report FILE` and `holdfast tune FILE` read it; a file that was\n"
        "cut short too.  Without PID: the only process that shows an arena.  It has the process's\n"
        "command line, in which values of options that are named after a secret are hidden.\n"
        "\n"
        "  -o, --output FILE   the file to write, made anew\n"
        "  --interval SECONDS  between samples; 0.01 at least (default: 1)\n"
        "  --duration SECONDS  how long\n"
        "  --last              of a process that was killed, the last: PID may be its service or program\n"
        "  --no-command        leave the command line out\n"
        "  --help              this text\n",
    .run = record_main,
};
