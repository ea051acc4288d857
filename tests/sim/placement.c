/*
 * placement: what a policy of placement makes of an arena that is filled and half freed, again and
 * again.
 *
 * It replays the sequences of `hf-workload fill` (tests/bench/mixes.h) for one thread, on pages that
 * are not there.  So it runs policies that the library does not have, in arenas that the machine
 * does not have, at a hundredth of the time.  The built policy is the library's own run map and
 * table of size classes.  For each seed it prints the live bytes at the first refusal of the first
 * round and of the worst, over the arena, and where the other bytes of the worst are:
 *
 *   free      in free pages, in runs that are too short
 *   room      in free blocks of pages that serve one size class
 *   rounding  in blocks, beyond what was asked for
 *   whole     in the last pages of large blocks
 *   tails     in tails of runs, into which no block fits
 *
 * What the library itself needs, 0.2 % of an arena of 512 MiB, is not in it.
 *
 *   placement                what `make check` runs: in a small arena the built policy does no worse
 *                            than the lowest place that fits
 *   placement --mix rows --arena 2048 --rounds 20 --seeds 10
 *             --runs NAME    where runs are taken (placement --help)
 *             --levels N     a class takes the fullest of its pages first, told apart in N steps
 *             --spread N     classes for each doubling, from 512 bytes on
 *             --tails N      tails of runs are at most 1/N, where ...
 *             --run-pages N  ... runs of N pages do
 *   placement --bound 4096   an allocator without any waste, of which only pages of blocks under 4096
 *                            bytes are never free again: what no placement exceeds
 */
#include "arena.h"
#include "mixes.h"

#include <getopt.h>

struct item_at {
    uint32_t page, bytes;
};

struct sequence {
    const struct mix *mix;
    size_t arena_bytes;
    unsigned rounds;
    size_t pinned; /* for the bound, or 0 */
    struct item_at *items;
    size_t count, room, live;
    uint64_t random;
};

/* Shares of the arena at a refusal; they add up to 1. */
struct shares {
    double live, free, room, rounding, whole, tails;
};

static void begin(struct sequence *sequence, unsigned long seed)
{
    sequence->random = mix_start(seed);
    sequence->count = sequence->live = 0;
}

static void add(struct sequence *sequence, size_t page, size_t bytes)
{
    if (sequence->count == sequence->room)
        fail("more blocks than expected");
    sequence->items[sequence->count++] = (struct item_at){ (uint32_t)page, (uint32_t)bytes };
    sequence->live += bytes;
}

/* Takes a random half out of the sequence, and calls `release` for each. */
static void free_half(struct sequence *sequence, void *arena, void release(void *arena, struct item_at item))
{
    size_t kept = 0;
    for (size_t i = 0; i < sequence->count; i++) {
        struct item_at item = sequence->items[i];
        if (mix_keeps(&sequence->random)) {
            sequence->items[kept++] = item;
            continue;
        }
        sequence->live -= item.bytes;
        release(arena, item);
    }
    sequence->count = kept;
}

/* --- in the arena of a policy --- */

static void fill(struct sequence *sequence, struct sim *sim)
{
    for (;;) {
        size_t bytes = mix_size(sequence->mix, &sequence->random);
        size_t head = sim_alloc(sim, hfi_max(bytes, sizeof(struct item)));
        if (head == NONE)
            return;
        add(sequence, head, bytes);
    }
}

static void release_in_sim(void *sim, struct item_at item)
{
    sim_free(sim, item.page);
}

static struct shares look(const struct sequence *sequence, const struct sim *sim)
{
    double arena = (double)sequence->arena_bytes;
    struct shares is = { .live = (double)sequence->live / arena,
                         .free = (double)(sim_free_pages(sim) * HFI_PAGE_BYTES) / arena };
    bool *seen = sim_zeroed(sim->pages * sizeof seen[0]);
    for (size_t i = 0; i < sequence->count; i++) {
        const struct item_at *item = &sequence->items[i];
        const struct run *run = &sim->runs[item->page];
        double run_bytes = run->pages * (double)HFI_PAGE_BYTES;
        if (run->class == LARGE) {
            is.whole += (run_bytes - item->bytes) / arena;
            continue;
        }
        double each = (double)sim->classes[run->class].bytes;
        is.rounding += (each - item->bytes) / arena;
        if (!seen[item->page]) {
            is.room += (run->blocks - run->used) * each / arena;
            is.tails += (run_bytes - run->blocks * each) / arena;
        }
        seen[item->page] = true;
    }
    free(seen);
    return is;
}

/* The worst of the rounds; *first is the live share of the first. */
static struct shares run_policy(struct sequence *sequence, struct sim *sim, double *first)
{
    struct shares worst = { .live = 2 };
    sim_open(sim);
    for (unsigned round = 0; round < sequence->rounds; round++) {
        fill(sequence, sim);
        struct shares now = look(sequence, sim);
        *first = round == 0 ? now.live : *first;
        worst = now.live < worst.live ? now : worst;
        free_half(sequence, sim, release_in_sim);
    }
    sim_close(sim);
    return worst;
}

/* --- in an arena without waste, where bytes once used for blocks under `pinned` serve only such --- */

struct ideal {
    size_t pinned, small, small_most, other;
};

static bool ideal_alloc(struct ideal *ideal, size_t bytes, size_t arena_bytes)
{
    size_t *kind = bytes < ideal->pinned ? &ideal->small : &ideal->other;
    *kind += bytes;
    if (hfi_max(ideal->small, ideal->small_most) + ideal->other <= arena_bytes) {
        ideal->small_most = hfi_max(ideal->small, ideal->small_most);
        return true;
    }
    *kind -= bytes;
    return false;
}

static void release_in_ideal(void *arena, struct item_at item)
{
    struct ideal *ideal = arena;
    *(item.bytes < ideal->pinned ? &ideal->small : &ideal->other) -= item.bytes;
}

static struct shares run_bound(struct sequence *sequence, double *first)
{
    struct shares worst = { .live = 2 };
    struct ideal ideal = { .pinned = sequence->pinned };
    for (unsigned round = 0; round < sequence->rounds; round++) {
        for (;;) {
            size_t bytes = mix_size(sequence->mix, &sequence->random);
            if (!ideal_alloc(&ideal, bytes, sequence->arena_bytes))
                break;
            add(sequence, 0, bytes);
        }
        double arena = (double)sequence->arena_bytes, live = (double)sequence->live / arena;
        *first = round == 0 ? live : *first;
        if (live < worst.live)
            worst = (struct shares){ .live = live, .room = (double)(ideal.small_most - ideal.small) / arena };
        free_half(sequence, &ideal, release_in_ideal);
    }
    return worst;
}

/* --- what is asked for --- */

struct task {
    struct sequence sequence;
    struct sim *sim;
    struct cut cut;
    bool has_cut;
    unsigned long seeds;
    bool quiet;
};

static void print_shares(const char *head, double first, const struct shares *is)
{
    printf("%-10s %6.1f %6.1f   %5.1f %5.1f %5.1f %5.1f %5.1f\n", head, 100 * first, 100 * is->live,
           100 * is->free, 100 * is->room, 100 * is->rounding, 100 * is->whole, 100 * is->tails);
}

static void print_head(const struct task *task)
{
    printf("%s, %zu MiB, %u rounds: live bytes at ENOMEM in %% of the arena\n", task->sequence.mix->name,
           task->sequence.arena_bytes >> 20, task->sequence.rounds);
    printf("%-10s %6s %6s   %5s %5s %5s %5s %5s\n", "seed", "first", "least", "free", "room", "round",
           "whole", "tails");
}

/* The mean of the seeds' leasts. */
static double run_task(struct task *task)
{
    struct sequence *sequence = &task->sequence;
    struct sim *sim = task->sim;
    double sum = 0, least = 1;
    sim->pages = sequence->arena_bytes / HFI_PAGE_BYTES;
    sim_set_classes(sim, task->has_cut ? &task->cut : NULL);
    sequence->room = sequence->arena_bytes / 64;
    sequence->items = sim_zeroed(sequence->room * sizeof sequence->items[0]);
    if (!task->quiet)
        print_head(task);
    for (unsigned long seed = 0; seed < task->seeds; seed++) {
        double first = 0;
        begin(sequence, seed);
        struct shares worst =
            sequence->pinned != 0 ? run_bound(sequence, &first) : run_policy(sequence, sim, &first);
        sum += worst.live;
        least = worst.live < least ? worst.live : least;
        char name[24];
        snprintf(name, sizeof name, "%lu", seed);
        if (!task->quiet)
            print_shares(name, first, &worst);
    }
    free(sequence->items);
    if (!task->quiet)
        printf("least of all %.1f, mean of the seeds' leasts %.1f\n", 100 * least,
               100 * sum / (double)task->seeds);
    return sum / (double)task->seeds;
}

static void choose_policy(struct sim *sim, const char *name)
{
    const struct policy *policy = sim_policies;
    while (policy->name != NULL && strcmp(policy->name, name) != 0)
        policy++;
    if (policy->name == NULL)
        fail("placement: no such policy; see --help");
    sim->place = policy->place;
    sim->apart = policy->apart;
}

static int check(struct task *task)
{
    int failures = 0;
    for (size_t mix = 0; mix < MIXES; mix++) {
        task->sequence.mix = &mixes[mix];
        choose_policy(task->sim, "lowest");
        double lowest = run_task(task);
        choose_policy(task->sim, "built");
        double built = run_task(task);
        printf("%-7s built %.1f %%, lowest place that fits %.1f %%\n", mixes[mix].name, 100 * built,
               100 * lowest);
        failures += built < lowest;
    }
    return failures != 0;
}

static void help(void)
{
    printf("placement [--mix even|server|rows|pages] [--arena MIB] [--rounds N] [--seeds N] [--runs NAME]\n"
           "          [--levels N] [--spread N] [--tails N] [--run-pages N] [--bound BYTES]\n");
    for (const struct policy *policy = sim_policies; policy->name != NULL; policy++)
        printf("  --runs %-16s %s\n", policy->name, policy->what);
}

enum option_name { MIX = 1, ARENA, ROUNDS, SEEDS, RUNS, LEVELS, SPREAD, TAILS, RUN_PAGES, BOUND, HELP };

static const struct option options[] = {
    { "mix", 1, NULL, MIX },       { "arena", 1, NULL, ARENA }, { "rounds", 1, NULL, ROUNDS },
    { "seeds", 1, NULL, SEEDS },   { "runs", 1, NULL, RUNS },   { "levels", 1, NULL, LEVELS },
    { "spread", 1, NULL, SPREAD }, { "tails", 1, NULL, TAILS }, { "run-pages", 1, NULL, RUN_PAGES },
    { "bound", 1, NULL, BOUND },   { "help", 0, NULL, HELP },   { 0 },
};

static void take_option(struct task *task, int name)
{
    size_t number = optarg != NULL ? strtoul(optarg, NULL, 10) : 0;
    switch (name) {
    case MIX: task->sequence.mix = mix_named(optarg); break;
    case ARENA: task->sequence.arena_bytes = hfi_max(number, 1) << 20; break;
    case ROUNDS: task->sequence.rounds = (unsigned)number; break;
    case SEEDS: task->seeds = number; break;
    case RUNS: choose_policy(task->sim, optarg); break;
    case LEVELS: task->sim->levels = (unsigned)hfi_min(hfi_max(number, 1), LEVELS_MAX); break;
    case SPREAD: task->cut.spread = hfi_max(number, 1), task->has_cut = true; break;
    case TAILS: task->cut.tails = number, task->has_cut = true; break;
    case RUN_PAGES: task->cut.run_pages = number, task->has_cut = true; break;
    case BOUND: task->sequence.pinned = number; break;
    default: help(); exit(name != HELP);
    }
}

int main(int argc, char **argv)
{
    static struct sim sim = { .levels = 1 };
    struct task task = { .sequence = { .arena_bytes = (size_t)512 << 20, .rounds = 20, .mix = &mixes[0] },
                         .cut = { .spread = 4, .tails = 32, .run_pages = 8 },
                         .sim = &sim,
                         .seeds = 10 };
    hfi_sizeclass_init();
    choose_policy(&sim, "built");
    if (argc == 1) {
        task.sequence.arena_bytes = (size_t)128 << 20;
        task.sequence.rounds = 8;
        task.seeds = 3;
        task.quiet = true;
        return check(&task);
    }
    for (int name; (name = getopt_long(argc, argv, "", options, NULL)) != -1;)
        take_option(&task, name);
    if (task.sequence.mix == NULL)
        fail("placement: the mixes are even, server, rows and pages");
    run_task(&task);
    return 0;
}
