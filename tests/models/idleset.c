/*
 * idleset: calls on an idle set, each interrupted at each atomic step by others (explorer.h).
 *
 * Members at the edges of words of every level: each is taken out once for each time it was put in,
 * I1 to I3 of idleset.c hold after the calls, and whatever is in can then be taken.  A member can
 * be found as soon as its add has returned, though another call stands still in the middle.
 *
 *   idleset [SEED [FACTOR]]    FACTOR times as many rounds
 */
#include "explorer.h"

#include "arena/idleset.h"

#define CAPACITY 262145 /* a second word at level 2 */
#define AT_START_MAX 4
#define EDGES 11

enum kind { ADD, REMOVE, TAKE };

struct call {
    enum kind kind;
    size_t member;
};

static const size_t edges[EDGES] = { 0, 1, 63, 64, 65, 4095, 4096, 4097, 8192, 262143, 262144 };
static struct call calls[CALLS];
static struct idleset set;
static char *memory;
static size_t at_start[AT_START_MAX];
static size_t at_start_count;
static long members; /* put in less taken out */
static const char *broken;

static bool bit_is_set(unsigned level, size_t bit)
{
    return atomic_load(&set.xlevels[level][bit >> 6]) >> (bit & 63) & 1;
}

static bool can_be_found(size_t member)
{
    for (unsigned level = 1; level < HFI_IDLESET_LEVELS; level++)
        if (!bit_is_set(level, member >> 6 * level))
            return false;
    return true;
}

static void perform(int number)
{
    const struct call *call = &calls[number];
    switch (call->kind) {
    case ADD:
        members += hfi_idleset_add(&set, call->member);
        if (bit_is_set(0, call->member) && !can_be_found(call->member))
            broken = "an add has returned, and its member cannot be found";
        break;
    case REMOVE: members -= hfi_idleset_remove(&set, call->member); break;
    case TAKE: members -= hfi_idleset_take(&set) != HFI_IDLESET_NONE; break;
    }
}

static void describe(void)
{
    static const char *const names[] = { "add", "remove", "take" };
    printf("  at start:");
    for (size_t i = 0; i < at_start_count; i++)
        printf(" %zu", at_start[i]);
    printf("\n");
    for (int i = 0; i < CALLS; i++)
        printf("  call %d: %s %zu\n", i, names[calls[i].kind], calls[i].member);
}

/* Empties the words that the edges touch: all others are zero for ever. */
static void restore(void)
{
    for (unsigned level = 0; level < HFI_IDLESET_LEVELS; level++)
        for (size_t i = 0; i < EDGES; i++)
            atomic_store(&set.xlevels[level][edges[i] >> 6 * (level + 1)], 0);
    members = 0;
    broken = NULL;
    for (size_t i = 0; i < at_start_count; i++)
        members += hfi_idleset_add(&set, at_start[i]);
}

/* Whoever cannot be reached stays behind when all is taken.  The audit reads the whole set, so once
 * in a while only. */
static const char *broken_now(void)
{
    if (broken == NULL && random_below(64) == 0)
        broken = hfi_idleset_audit(&set);
    for (; hfi_idleset_take(&set) != HFI_IDLESET_NONE; members--)
        ;
    if (broken == NULL && members != 0)
        broken = hfi_idleset_audit(&set);
    return broken != NULL || members == 0 ? broken : "a member was taken twice, or lost";
}

int main(int argc, char **argv)
{
    if (argc > 1)
        random_state = strtoull(argv[1], NULL, 0) | 1;
    long rounds = 30000 * (argc > 2 ? strtol(argv[2], NULL, 0) : 1);
    memory = calloc(1, hfi_idleset_bytes(CAPACITY));
    if (memory == NULL)
        return 1;
    hfi_idleset_init(&set, CAPACITY, memory);
    for (long i = 0; i < rounds; i++) {
        at_start_count = random_below(AT_START_MAX);
        for (size_t j = 0; j < at_start_count; j++)
            at_start[j] = edges[random_below(EDGES)];
        for (int call = 0; call < CALLS; call++)
            calls[call] =
                (struct call){ .kind = (enum kind)random_below(3), .member = edges[random_below(EDGES)] };
        explore_all();
    }
    return explored();
}
