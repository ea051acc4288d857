/*
 * nth-page: each entry point, with the first, second, third ... page it asks its node for refused.
 *
 * The library's own sources, malloc replaced, with the three functions that claim pages wrapped by
 * the linker (--wrap): nothing is added to the library for it.  A call is repeated with a later
 * page refused until it asks for fewer, twice over:
 *
 *   from the Nth page on   NULL and ENOMEM, and the old block of a realloc as it was; or a block of a
 *                          page that is there already
 *   the Nth page alone     success: the ladder asks again before it gives up (W1 in ladder.c)
 *
 * by threads with a theap that has no page, and by threads that have none while none is left.
 * After each, the theaps, the arena and the idle sets are audited, and every page is back.
 *
 * Keys of thread-local data are used up before the library takes its own, so that a thread's first
 * pthread_setspecific allocates: one more page to refuse.
 */
#include <holdfast/claim.h>
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

#include "arena/idleset.h"
#include "heap/magazine.h"
#include "base/options.h"
#include "heap/theaps.h"

#include "nth-page.h"
#include "test.h"
#include "arena/arena.h"

#define CLAIMS_MAX 50 /* pages one call may ask for */
#define PARKED_MAX 8000u
#define UNTOUCHED ((void *)(uintptr_t)0x5a5a5a50)

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t each_bytes);
void *__libc_realloc(void *pointer, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void *__libc_valloc(size_t bytes);
void *__libc_pvalloc(size_t bytes);
void __libc_free(void *pointer);
void cfree(void *pointer);
void free_sized(void *pointer, size_t bytes);
void free_aligned_sized(void *pointer, size_t align, size_t bytes);

/* --- refusing pages --- */

enum refusing { NONE, FROM_NTH, NTH_ALONE, THEAPS };

static _Atomic(enum refusing) refusing;
static _Atomic(long) claims; /* since refuse() */
static _Atomic(long) refused;
static _Atomic(long) nth;

static void refuse(enum refusing which, long page)
{
    nth = page;
    claims = refused = 0;
    refusing = which;
}

static bool is_refused(bool for_theaps)
{
    if (refusing == NONE)
        return false;
    long claim = ++claims;
    bool answer = refusing == THEAPS ? for_theaps : refusing == NTH_ALONE ? claim == nth : claim >= nth;
    refused += answer;
    return answer;
}

struct page *__real_hfi_arena_claim(struct arena_node *, size_t pages, size_t align_bytes, enum claim where,
                                    bool *zero);
struct page *__wrap_hfi_arena_claim(struct arena_node *, size_t pages, size_t align_bytes, enum claim where,
                                    bool *zero);
bool __real_hfi_arena_claim_at(struct arena_node *, struct page *first, size_t pages, bool *zero);
bool __wrap_hfi_arena_claim_at(struct arena_node *, struct page *first, size_t pages, bool *zero);
void *__real_hfi_arena_claim_meta(struct arena_node *);
void *__wrap_hfi_arena_claim_meta(struct arena_node *);

struct page *__wrap_hfi_arena_claim(struct arena_node *from, size_t pages, size_t align_bytes,
                                    enum claim where, bool *zero)
{
    return is_refused(false) ? NULL : __real_hfi_arena_claim(from, pages, align_bytes, where, zero);
}

bool __wrap_hfi_arena_claim_at(struct arena_node *from, struct page *first, size_t pages, bool *zero)
{
    return !is_refused(false) && __real_hfi_arena_claim_at(from, first, pages, zero);
}

void *__wrap_hfi_arena_claim_meta(struct arena_node *from)
{
    return is_refused(true) ? NULL : __real_hfi_arena_claim_meta(from);
}

/* Runs before the constructors of shared libraries, one of which may call malloc first. */
static void use_up_keys(void)
{
    pthread_key_t key;
    for (int i = 0; i < 32; i++)
        pthread_key_create(&key, NULL);
}

__attribute__((section(".preinit_array"), used)) static void (*const before_all)(void) = use_up_keys;

/* --- soundness --- */

static struct arena_node *const node = &hfi_arena.nodes[0];
static unsigned theaps_in_use = 1; /* main's, and those of parked threads */

/* Pages not handed out, and those of theaps, which are never given back. */
static size_t pages_left(void)
{
    hfi_theap_enter(hfi_theap);
    hfi_magazine_give_back(hfi_theap);
    hfi_theap_leave(hfi_theap);
    return hfi_arena_free_pages(node) + hfi_load_relaxed(&node->xtheap_pages);
}

static void check_sound(void)
{
    unsigned in_use = 0;
    const char *broken = hfi_arena_audit(node);
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all) {
        in_use += theap->thread != 0;
        if (broken == NULL && theap->thread != 0)
            broken = hfi_theap_audit(theap);
    }
    for (unsigned class = 0; class < HFI_CLASS_COUNT && broken == NULL; class ++)
        broken = hfi_arena_audit_idle(node, class);
    if (broken != NULL)
        fprintf(stderr, "%s\n", broken);
    CHECK(broken == NULL);
    CHECK(in_use == theaps_in_use && hfi_load_relaxed(&node->xtheap_count) == theaps_in_use);
}

/* --- threads --- */

static void in_a_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, function, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* A free gives a thread its theap, and takes no page for it. */
static bool attach(void *block)
{
    free(block);
    return hfi_theap->thread != 0;
}

struct parked {
    void *block;
    bool attached;
    sem_t ready;
};

static void *park(void *argument)
{
    struct parked *parked = argument;
    bool attached = parked->attached = attach(parked->block);
    /* nor does it keep the block, which others would take from it while it sleeps */
    hfi_magazines_return(hfi_theap, true);
    CHECK(sem_post(&parked->ready) == 0);
    while (attached)
        pause();
    return NULL;
}

/* Threads that do nothing take the theaps that are cut already. */
static void use_up_theaps(void)
{
    static struct parked parked;
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0 &&
          pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    do {
        pthread_t thread;
        CHECK(theaps_in_use < PARKED_MAX);
        parked.block = malloc(1);
        CHECK(parked.block != NULL && sem_init(&parked.ready, 0, 0) == 0);
        refuse(THEAPS, 0);
        CHECK(pthread_create(&thread, &attributes, park, &parked) == 0);
        CHECK(sem_wait(&parked.ready) == 0);
        refuse(NONE, 0);
        theaps_in_use += parked.attached;
        if (!parked.attached)
            CHECK(pthread_join(thread, NULL) == 0);
    } while (parked.attached);
}

/* --- entry points that make a block --- */

static void *by_malloc(size_t bytes, size_t align)
{
    (void)align;
    return malloc(bytes);
}

static void *by_hf_malloc(size_t bytes, size_t align)
{
    (void)align;
    return hf_malloc(bytes);
}

static void *by_libc_malloc(size_t bytes, size_t align)
{
    (void)align;
    return __libc_malloc(bytes);
}

static void *zeroed(void *block, size_t bytes)
{
    for (size_t i = 0; block != NULL && i < bytes; i++)
        CHECK(((char *)block)[i] == 0);
    return block;
}

static void *by_calloc(size_t bytes, size_t align)
{
    (void)align;
    return zeroed(calloc(bytes / 4, 4), bytes);
}

static void *by_hf_calloc(size_t bytes, size_t align)
{
    (void)align;
    return zeroed(hf_calloc(bytes / 4, 4), bytes);
}

static void *by_libc_calloc(size_t bytes, size_t align)
{
    (void)align;
    return zeroed(__libc_calloc(bytes / 4, 4), bytes);
}

static void *by_realloc(size_t bytes, size_t align)
{
    (void)align;
    return realloc(NULL, bytes);
}

static void *by_hf_realloc(size_t bytes, size_t align)
{
    (void)align;
    return hf_realloc(NULL, bytes);
}

static void *by_libc_realloc(size_t bytes, size_t align)
{
    (void)align;
    return __libc_realloc(NULL, bytes);
}

static void *by_reallocarray(size_t bytes, size_t align)
{
    (void)align;
    return reallocarray(NULL, bytes / 4, 4);
}

static void *by_memalign(size_t bytes, size_t align)
{
    return memalign(align, bytes);
}

static void *by_libc_memalign(size_t bytes, size_t align)
{
    return __libc_memalign(align, bytes);
}

static void *by_aligned_alloc(size_t bytes, size_t align)
{
    return aligned_alloc(align, bytes);
}

static void *by_hf_aligned_alloc(size_t bytes, size_t align)
{
    return hf_aligned_alloc(align, bytes);
}

/* errno is nobody's here: it stays, and so does the pointer on failure. */
static void *by_posix_memalign(size_t bytes, size_t align)
{
    void *block = UNTOUCHED;
    errno = 77;
    int error = posix_memalign(&block, align, bytes);
    CHECK(errno == 77);
    if (error == 0)
        return block;
    CHECK(error == ENOMEM && block == UNTOUCHED);
    errno = ENOMEM;
    return NULL;
}

static void *by_valloc(size_t bytes, size_t align)
{
    (void)align;
    return valloc(bytes);
}

static void *by_libc_valloc(size_t bytes, size_t align)
{
    (void)align;
    return __libc_valloc(bytes);
}

static void *by_pvalloc(size_t bytes, size_t align)
{
    (void)align;
    return pvalloc(bytes);
}

static void *by_libc_pvalloc(size_t bytes, size_t align)
{
    (void)align;
    return __libc_pvalloc(bytes);
}

/* Of a heap of its own, which ends with the attempt. */
static __thread struct hf_heap *heap;

static bool make_heap_of(unsigned flags)
{
    struct hf_heap_options options = { .size_bytes = sizeof options, .flags = flags };
    heap = hf_heap_create(&options);
    return heap != NULL;
}

static bool make_heap(void)
{
    return make_heap_of(HF_HEAP_REGION);
}

static void end_heap(void)
{
    hf_heap_destroy(heap);
    heap = NULL;
}

static void *by_hf_heap_malloc(size_t bytes, size_t align)
{
    (void)align;
    return make_heap() ? hf_heap_malloc(heap, bytes) : NULL;
}

static void *by_hf_heap_calloc(size_t bytes, size_t align)
{
    (void)align;
    return make_heap() ? zeroed(hf_heap_calloc(heap, bytes / 4, 4), bytes) : NULL;
}

static void *by_hf_heap_aligned_alloc(size_t bytes, size_t align)
{
    return make_heap() ? hf_heap_aligned_alloc(heap, align, bytes) : NULL;
}

static void *by_general_malloc(size_t bytes, size_t align)
{
    (void)align;
    return make_heap_of(0) ? hf_heap_malloc(heap, bytes) : NULL;
}

static void *by_general_aligned_alloc(size_t bytes, size_t align)
{
    return make_heap_of(0) ? hf_heap_aligned_alloc(heap, align, bytes) : NULL;
}

/* The newest block cannot grow to that. */
static void *by_hf_heap_realloc(size_t bytes, size_t align)
{
    (void)align;
    if (!make_heap())
        return NULL;
    char *block = hf_heap_malloc(heap, 10);
    if (block == NULL)
        return NULL;
    block[9] = 77;
    char *grown = hf_heap_realloc(heap, block, bytes);
    CHECK((grown != NULL ? grown : block)[9] == 77);
    return grown;
}

/* Plain malloc, which comes from the heap. */
static void *by_malloc_of_used(size_t bytes, size_t align)
{
    (void)align;
    if (!make_heap() || hf_heap_use(heap) == NULL)
        return NULL;
    void *block = malloc(bytes);
    CHECK(block == NULL || hf_heap_of(block) == heap);
    hf_heap_use(NULL);
    return block;
}

/* What was claimed is had, whatever is refused. */
static void *by_malloc_of_claimed(size_t bytes, size_t align)
{
    (void)align;
    struct hf_claim claim;
    int error = hf_claim(&bytes, 1, &claim);
    errno = ENOMEM;
    if (error != 0)
        return error == -EAGAIN ? NULL : UNTOUCHED;
    void *block = malloc(bytes);
    CHECK(block != NULL);
    hf_claim_end(&claim);
    return block;
}

enum aligning { MALLOC_ALIGNED, PAGE_ALIGNED, AS_ASKED };

struct entry {
    const char *name;
    void *(*call)(size_t bytes, size_t align);
    enum aligning aligning;
};

static const struct entry entries[] = {
    { "malloc", by_malloc, MALLOC_ALIGNED },
    { "hf_malloc", by_hf_malloc, MALLOC_ALIGNED },
    { "__libc_malloc", by_libc_malloc, MALLOC_ALIGNED },
    { "calloc", by_calloc, MALLOC_ALIGNED },
    { "hf_calloc", by_hf_calloc, MALLOC_ALIGNED },
    { "__libc_calloc", by_libc_calloc, MALLOC_ALIGNED },
    { "realloc", by_realloc, MALLOC_ALIGNED },
    { "hf_realloc", by_hf_realloc, MALLOC_ALIGNED },
    { "__libc_realloc", by_libc_realloc, MALLOC_ALIGNED },
    { "reallocarray", by_reallocarray, MALLOC_ALIGNED },
    { "memalign", by_memalign, AS_ASKED },
    { "__libc_memalign", by_libc_memalign, AS_ASKED },
    { "aligned_alloc", by_aligned_alloc, AS_ASKED },
    { "hf_aligned_alloc", by_hf_aligned_alloc, AS_ASKED },
    { "posix_memalign", by_posix_memalign, AS_ASKED },
    { "valloc", by_valloc, PAGE_ALIGNED },
    { "__libc_valloc", by_libc_valloc, PAGE_ALIGNED },
    { "pvalloc", by_pvalloc, PAGE_ALIGNED },
    { "__libc_pvalloc", by_libc_pvalloc, PAGE_ALIGNED },
    { "hf_heap_malloc", by_hf_heap_malloc, MALLOC_ALIGNED },
    { "hf_heap_calloc", by_hf_heap_calloc, MALLOC_ALIGNED },
    { "hf_heap_realloc", by_hf_heap_realloc, MALLOC_ALIGNED },
    { "hf_heap_aligned_alloc", by_hf_heap_aligned_alloc, AS_ASKED },
    { "malloc of a heap in use", by_malloc_of_used, MALLOC_ALIGNED },
    { "malloc of what was claimed", by_malloc_of_claimed, MALLOC_ALIGNED },
    { "hf_heap_malloc, general", by_general_malloc, MALLOC_ALIGNED },
    { "hf_heap_aligned_alloc, general", by_general_aligned_alloc, AS_ASKED },
    { "new", new_one, MALLOC_ALIGNED },
    { "new[]", new_array, MALLOC_ALIGNED },
    { "new(nothrow)", new_one_nothrow, MALLOC_ALIGNED },
    { "new[](nothrow)", new_array_nothrow, MALLOC_ALIGNED },
    { "new(align)", new_one_aligned, AS_ASKED },
    { "new[](align)", new_array_aligned, AS_ASKED },
    { "new(align, nothrow)", new_one_aligned_nothrow, AS_ASKED },
    { "new[](align, nothrow)", new_array_aligned_nothrow, AS_ASKED },
};

/* A small block, a medium one, one of a run of several pages, a large one; alignments likewise. */
static const struct shape {
    size_t bytes;
    size_t align;
} shapes[] = { { 24, 64 }, { 3000, 4096 }, { 200000, 65536 }, { 1 << 20, 1 << 20 } };
#define SHAPES (sizeof shapes / sizeof shapes[0])

struct attempt {
    const struct entry *entry;
    const struct shape *shape;
    enum refusing which;
    long nth;
    void *attach_with; /* NULL: the thread comes without a theap */
    bool last;         /* out: the call asked for fewer pages than `nth` */
};

static void *attempt_in_thread(void *argument)
{
    struct attempt *attempt = argument;
    size_t bytes = attempt->shape->bytes, align = attempt->shape->align;
    if (attempt->attach_with != NULL)
        CHECK(attach(attempt->attach_with));
    CHECK((hfi_theap->thread != 0) == (attempt->attach_with != NULL));
    refuse(attempt->which, attempt->nth);
    errno = 0;
    void *block = attempt->entry->call(bytes, align);
    int error = errno;
    refusing = NONE;
    attempt->last = refused == 0;
    /* else an idle page served, which no claim brings */
    if (!attempt->last && attempt->which == FROM_NTH && block == NULL) {
        CHECK(error == ENOMEM);
        end_heap();
        return NULL;
    }
    CHECK(block != NULL && hf_owns(block) && malloc_usable_size(block) >= bytes);
    CHECK((uintptr_t)block % (attempt->entry->aligning == AS_ASKED       ? align
                              : attempt->entry->aligning == PAGE_ALIGNED ? 4096
                                                                         : 16) ==
          0);
    memset(block, 0xa5, bytes);
    free(block);
    end_heap();
    return NULL;
}

static void walk(const struct entry *entry, const struct shape *shape, enum refusing which, bool with_theap)
{
    struct attempt attempt = { .entry = entry, .shape = shape, .which = which };
    while (!attempt.last) {
        attempt.nth++;
        CHECK(attempt.nth < CLAIMS_MAX);
        if (!with_theap)
            use_up_theaps();
        size_t before = pages_left();
        attempt.attach_with = with_theap ? malloc(1) : NULL;
        in_a_thread(attempt_in_thread, &attempt);
        check_sound();
        CHECK(pages_left() == before);
    }
    /* A block's page; without a theap, the page of theaps before it.  What pthread_setspecific allocates
     * comes from a page that the crowd shares. */
    CHECK(attempt.nth > (with_theap ? 1 : 2));
}

static void walk_entry(int index)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (int with_theap = 0; with_theap <= 1; with_theap++) {
            walk(&entries[index], &shapes[i], FROM_NTH, with_theap);
            walk(&entries[index], &shapes[i], NTH_ALONE, with_theap);
        }
}

/* --- realloc of a block that stands --- */

static void *array_realloc(void *pointer, size_t bytes)
{
    return reallocarray(pointer, bytes / 8, 8);
}

static void *(*const reallocs[])(void *pointer, size_t bytes) = { realloc, hf_realloc, __libc_realloc,
                                                                  array_realloc };

/* 64 in place of 32, and 3 MiB in place of 1, are served where room is in hand; here it is not. */
static const struct {
    size_t from, to;
} resizes[] = {
    { 32, 64 },           { 40, 5000 },          { 3000, 200000 }, { 3000, 1 << 20 },
    { 1 << 20, 3 << 20 }, { 3 << 20, 40 << 20 }, { 5000, 40 },     { 200000, 3000 },
    { 1 << 20, 3000 },    { 3 << 20, 1 << 20 },
};
#define RESIZES (sizeof resizes / sizeof resizes[0])

struct resize {
    void *(*call)(void *pointer, size_t bytes);
    size_t from, to;
    enum refusing which;
    long nth;
    bool last;
};

static void fill(unsigned char *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        block[i] = (unsigned char)(i * 7 + i / 251);
}

static bool filled(const unsigned char *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (block[i] != (unsigned char)(i * 7 + i / 251))
            return false;
    return true;
}

/* Runs come from the end of the node: only a block that was larger once has room behind it. */
static void *block_with_room_behind(size_t bytes)
{
    void *block = malloc(3 * bytes);
    CHECK(block != NULL && realloc(block, bytes) == block);
    return block;
}

static void *resize_in_thread(void *argument)
{
    struct resize *resize = argument;
    unsigned char *old =
        resize->from == 1 << 20 ? block_with_room_behind(resize->from) : malloc(resize->from);
    CHECK(old != NULL);
    size_t usable = malloc_usable_size(old);
    fill(old, resize->from);
    refuse(resize->which, resize->nth);
    errno = 0;
    unsigned char *fresh = resize->call(old, resize->to);
    int error = errno;
    refusing = NONE;
    resize->last = refused == 0;
    if (!resize->last && resize->which == FROM_NTH && resize->to > resize->from && fresh == NULL) {
        CHECK(error == ENOMEM);
        CHECK(malloc_usable_size(old) == usable && filled(old, resize->from));
        fresh = old;
    } else {
        CHECK(fresh != NULL && malloc_usable_size(fresh) >= resize->to);
        CHECK(filled(fresh, resize->to < resize->from ? resize->to : resize->from));
    }
    free(fresh);
    return NULL;
}

static void walk_reallocs(int index)
{
    for (size_t i = 0; i < RESIZES; i++)
        for (enum refusing which = FROM_NTH; which <= NTH_ALONE; which++) {
            struct resize resize = {
                .call = reallocs[index], .from = resizes[i].from, .to = resizes[i].to, .which = which
            };
            while (!resize.last) {
                resize.nth++;
                CHECK(resize.nth < CLAIMS_MAX);
                size_t before = pages_left();
                in_a_thread(resize_in_thread, &resize);
                check_sound();
                CHECK(pages_left() == before);
            }
            CHECK(resize.nth > 1 || resizes[i].to == 1 << 20);
        }
}

/* What the caller holds may do where no page is to be had. */
static void resize_within_what_is_held(int unused)
{
    (void)unused;
    void *of_the_class = malloc(64), *block = malloc(32), *large = malloc(1 << 20);
    volatile size_t half = SIZE_MAX / 2;
    hfi_options.on_full = ON_FULL_ABORT;
    refuse(FROM_NTH, 1);
    void *grown = realloc(block, 64); /* room to grow would be of another class, which has no page */
    CHECK(grown != NULL);
    void *small = realloc(large, 20000); /* never fails, so there is nothing to abort about */
    CHECK(small == large && malloc_usable_size(small) == 65536);
    errno = 0;
    CHECK(reallocarray(small, half, 3) == NULL && errno == ENOMEM && malloc_usable_size(small) == 65536);
    errno = 0;
    CHECK(calloc(half, 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(realloc(small, half + 100) == NULL && errno == ENOMEM && malloc_usable_size(small) == 65536);
    CHECK(realloc(small, 0) == NULL);
    refusing = NONE;
    free(grown);
    free(of_the_class);
    check_sound();
}

/* --- frees, and everything else, while every page is refused --- */

#define BLOCKS (14 * 43) /* as many as free_blocks takes at a time, many times over */

static void *blocks[BLOCKS];

static size_t some_size(size_t i)
{
    return i % 100 == 99 ? 700000 : i % 10 == 9 ? 40000 : i % 2 == 0 ? 1000 : 5000;
}

static void *make_blocks(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(some_size(i));
        CHECK(blocks[i] != NULL);
    }
    return NULL;
}

static void *free_blocks(void *theapless)
{
    CHECK((hfi_theap->thread == 0) == (theapless != NULL));
    refuse(FROM_NTH, 1);
    errno = 1234;
    for (size_t i = 0; i < BLOCKS; i += 14) {
        free(blocks[i]);
        hf_free(blocks[i + 1]);
        cfree(blocks[i + 2]);
        __libc_free(blocks[i + 3]);
        free_sized(blocks[i + 4], some_size(i + 4));
        free_aligned_sized(blocks[i + 5], 16, some_size(i + 5));
        delete_eight(&blocks[i + 6]);
        CHECK(errno == 1234);
    }
    refusing = NONE;
    /* what was freed may have given it room for a theap's key */
    CHECK(hfi_theap->thread != 0 || theapless != NULL);
    return NULL;
}

static void *make_nothing(void *unused)
{
    CHECK(attach(malloc(1)));
    return unused;
}

/* Own blocks; those of a thread that lives, freed by one that has no theap; those of one that
 * ended, by one with a theap and by one without. */
static void walk_frees(int unused)
{
    (void)unused;
    use_up_theaps();
    size_t before = pages_left();
    make_blocks(NULL);
    free_blocks(NULL);
    check_sound();
    CHECK(pages_left() == before);
    make_blocks(NULL);
    in_a_thread(free_blocks, blocks);
    CHECK(refused != 0);
    check_sound();
    CHECK(pages_left() == before);
    in_a_thread(make_blocks, NULL);
    free_blocks(NULL);
    check_sound();
    CHECK(pages_left() == before);
    in_a_thread(make_blocks, NULL);
    use_up_theaps();
    before = pages_left();
    size_t held = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        held += malloc_usable_size(blocks[i]);
    in_a_thread(free_blocks, blocks);
    CHECK(refused != 0);
    check_sound();
    CHECK((pages_left() - before) * HFI_PAGE_BYTES >= held);
    before = pages_left();
    make_blocks(NULL);
    in_a_thread(make_nothing, NULL); /* leaves a theap to the next; a crowd's page has its key */
    in_a_thread(free_blocks, blocks);
    check_sound();
    CHECK(pages_left() == before);
}

static pthread_key_t late_key;

static void late_destructor(void *block)
{
    free(block);
    errno = 0;
    void *again = malloc(100); /* out of what the thread itself left idle, or not at all */
    CHECK(again != NULL || errno == ENOMEM);
    free(again);
}

/* Ends with pages of all kinds, and allocates once more when its theap is gone. */
static void *end_refused(void *unused)
{
    CHECK(pthread_setspecific(late_key, malloc(50)) == 0);
    make_blocks(unused);
    for (size_t i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    refuse(FROM_NTH, 1);
    return NULL;
}

static void walk_thread_end(int unused)
{
    (void)unused;
    CHECK(pthread_key_create(&late_key, late_destructor) == 0);
    in_a_thread(end_refused, NULL);
    refusing = NONE;
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    size_t before = pages_left();
    for (int round = 0; round < 3; round++) {
        in_a_thread(end_refused, NULL);
        CHECK(refused != 0);
        check_sound();
        for (size_t i = 0; i < BLOCKS; i++)
            free(blocks[i]);
        refusing = NONE;
        check_sound();
        CHECK(pages_left() == before);
    }
}

static void *do_nothing(void *unused)
{
    return unused;
}

struct start {
    long nth;
    size_t stack_bytes;
    bool last;
};

static void *start_in_thread(void *argument)
{
    struct start *start = argument;
    pthread_t thread;
    pthread_attr_t attributes;
    CHECK(attach(malloc(40000)));
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, start->stack_bytes) == 0);
    refuse(FROM_NTH, start->nth);
    int error = pthread_create(&thread, &attributes, do_nothing, NULL);
    refusing = NONE;
    start->last = refused == 0;
    CHECK(error == 0 || (error == EAGAIN && !start->last));
    if (error == 0)
        CHECK(pthread_join(thread, NULL) == 0);
    return NULL;
}

/* Each on a stack of another size, or the C library would take one that has its tables already. */
static void walk_thread_start(int unused)
{
    (void)unused;
    struct start start = { .stack_bytes = 10 << 20 };
    while (!start.last) {
        start.nth++;
        start.stack_bytes += 4 << 20;
        in_a_thread(start_in_thread, &start);
        check_sound();
    }
    CHECK(start.nth > 1);
}

static int pressure_calls;

static bool let_pass(size_t bytes, unsigned of_node, void *argument)
{
    CHECK(bytes >= 500000 && of_node == node->id && argument == &pressure_calls);
    pressure_calls++;
    errno = 0;
    CHECK(malloc(600000) == NULL && errno == ENOMEM); /* is not asked for once more */
    if (pressure_calls > 1)
        refusing = NONE;
    return true;
}

static void walk_pressure(int unused)
{
    (void)unused;
    CHECK(hf_pressure_register(let_pass, &pressure_calls) == 0);
    refuse(FROM_NTH, 1);
    CHECK(hf_malloc(500000) == NULL && pressure_calls == 1);
    void *block = hf_malloc(500000);
    CHECK(block != NULL && pressure_calls == 2);
    CHECK(hf_pressure_unregister(let_pass, &pressure_calls) == 0);
    hf_free(block);
    check_sound();
}

static void walk_questions(int unused)
{
    (void)unused;
    static char text[4096];
    FILE *stream = fmemopen(text, sizeof text, "w");
    void *block = malloc(100);
    CHECK(stream != NULL && block != NULL);
    setvbuf(stream, NULL, _IONBF, 0);
    refuse(FROM_NTH, 1);
    CHECK(malloc_usable_size(block) >= 100 && hf_usable_size(block) >= 100 && hf_owns(block));
    CHECK(mallinfo2().arena >= mallinfo2().uordblks);
    CHECK(malloc_info(0, stream) == 0 && strstr(text, "</malloc>\n") != NULL);
    malloc_stats();
    hf_stats_print();
    CHECK(malloc_trim(0) == 0 && mallopt(M_TRIM_THRESHOLD, 0) == 1);
    CHECK(hf_version() != NULL);
    hfi_theap_enter(hfi_theap);
    hfi_magazine_give_back(hfi_theap);
    hfi_theap_leave(hfi_theap);
    refusing = NONE;
    fclose(stream);
    free(block);
    check_sound();
}

/* --- each in a process of its own --- */

static void run(const char *name, void (*function)(int), int argument)
{
    static char output[65536];
    int status = test_in_child(function, argument, output, sizeof output);
    if (status == 0)
        return;
    fprintf(stderr, "%s: status %#x\n%s", name, (unsigned)status, output);
    exit(1);
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    test_on_arena(argv, "128M");
    in_a_thread(do_nothing, NULL); /* whose tables the C library keeps for the next */
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        run(entries[i].name, walk_entry, (int)i);
    for (size_t i = 0; i < sizeof reallocs / sizeof reallocs[0]; i++)
        run("realloc of a block", walk_reallocs, (int)i);
    run("realloc within what is held", resize_within_what_is_held, 0);
    run("free", walk_frees, 0);
    run("thread end", walk_thread_end, 0);
    run("thread start", walk_thread_start, 0);
    run("pressure", walk_pressure, 0);
    run("questions", walk_questions, 0);
    return 0;
}
