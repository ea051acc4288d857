// victim-blocks: allocation by every name that C and C++ have for it, and what must hold of it.
//
// A slot holds one block, with marks at both ends and in each OS page of it, and a chain of
// blocks of one size, long enough to fill pages. A mark depends on the block's address. Blocks in
// slots do not overlap.
#include "victim.h"

#include <holdfast/claim.h>
#include <holdfast/heap.h>
#include <malloc.h>
#include <new>

namespace
{

enum form { FORM_C, FORM_NEW, FORM_ARRAY, FORM_ALIGNED, FORM_ALIGNED_ARRAY };

struct link {
    struct link *next;
    uintptr_t mark; // of its own address
};

struct slot {
    unsigned char *block;
    size_t bytes, align;
    enum form form;
    struct link *chain;
    size_t chain_bytes;
    struct hf_heap *home;
};

struct own_error : std::bad_alloc {
};

constexpr size_t chain_most = (size_t)64 << 20, fill_most = (size_t)24 << 20, forsaken_most = (size_t)2 << 20;
constexpr int some_errno = 77;
constexpr size_t largest_align = (size_t)1 << 30;

constexpr size_t heaps_most = 4;

struct slot slots[FUZZ_SLOTS];
struct hf_heap *heaps[heaps_most]; // made where a command asks for one
thread_local struct slot *busy;    // what a handler or callback must leave alone

unsigned char mark_at(const struct slot *slot, size_t at)
{
    return (unsigned char)(((uintptr_t)slot->block >> 4) * 31 + (slot->bytes ^ at >> 12) * 7 + 1);
}

void mark(struct slot *slot)
{
    for (size_t at = 0; at < slot->bytes; at += 4096)
        slot->block[at] = mark_at(slot, at);
    if (slot->bytes != 0)
        slot->block[slot->bytes - 1] = mark_at(slot, slot->bytes - 1);
}

void check(const struct slot *slot)
{
    if (slot->block == nullptr)
        return;
    size_t last = slot->bytes - 1;
    for (size_t at = 0; at < slot->bytes; at += 4096)
        REQUIRE(slot->block[at] == mark_at(slot, at) || at == last);
    if (slot->bytes != 0)
        REQUIRE(slot->block[last] == mark_at(slot, last));
    REQUIRE(malloc_usable_size(slot->block) >= slot->bytes);
}

void check_apart(const struct slot *mine)
{
    for (const struct slot &other : slots) {
        if (other.block == nullptr || &other == mine)
            continue;
        REQUIRE(mine->block + mine->bytes <= other.block || other.block + other.bytes <= mine->block ||
                mine->bytes == 0 || other.bytes == 0);
        REQUIRE(mine->block != other.block);
    }
}

void drop(struct slot *slot, size_t how)
{
    unsigned char *block = slot->block;
    bool sized = how % 2 == 0;
    if (block == nullptr)
        return;
    check(slot);
    memset(block, 0, slot->bytes < 64 ? slot->bytes : 64);
    slot->block = nullptr;
    errno = some_errno;
    switch (slot->form) {
    case FORM_C: free(block); break;
    case FORM_NEW:
        if (how % 3 == 2)
            ::operator delete(block, std::nothrow);
        else
            sized ? ::operator delete(block, slot->bytes) : ::operator delete(block);
        break;
    case FORM_ARRAY:
        if (how % 3 == 2)
            ::operator delete[](block, std::nothrow);
        else
            sized ? ::operator delete[](block, slot->bytes) : ::operator delete[](block);
        break;
    case FORM_ALIGNED:
        sized ? ::operator delete(block, slot->bytes, std::align_val_t(slot->align))
              : ::operator delete(block, std::align_val_t(slot->align));
        break;
    case FORM_ALIGNED_ARRAY:
        sized ? ::operator delete[](block, slot->bytes, std::align_val_t(slot->align))
              : ::operator delete[](block, std::align_val_t(slot->align));
        break;
    }
    REQUIRE(errno == some_errno);
}

// The child that a callback forked lives until the call that asked has come back.
void back_from_callback(void *block, size_t bytes)
{
    void (*ends)() = child_of_callback;
    if (ends == nullptr)
        return;
    if (block != nullptr)
        memset(block, 3, bytes < 4096 ? bytes : 4096);
    process.loses = process.loses || block != nullptr; // which no slot holds
    ends();
}

bool may_fail(size_t align, size_t bytes)
{
    return !process.growing || process.limited || process.no_arena || bytes > fill_most ||
           align > fill_most || process.depth != 0;
}

// What every call must do; `error` is what it said where it did not leave it in errno.
void check_outcome(const void *block, size_t align, size_t bytes, int error)
{
    if (block == nullptr) {
        REQUIRE(error == ENOMEM);
        REQUIRE(may_fail(align, bytes));
        return;
    }
    REQUIRE((uintptr_t)block % (align < 16 ? 16 : align) == 0);
    REQUIRE(process.no_arena || hf_owns(block));
    REQUIRE(malloc_usable_size((void *)block) >= bytes);
}

void put(struct slot *slot, void *block, enum form form, size_t align, size_t bytes)
{
    int error = errno;
    back_from_callback(block, bytes);
    check_outcome(block, align, bytes, error);
    REQUIRE(block == nullptr || error == some_errno);
    *slot = { (unsigned char *)block, bytes, align, form, slot->chain, slot->chain_bytes, nullptr };
    if (block == nullptr)
        return;
    if (!process.no_arena)
        slot->home = hf_heap_of(block);
    check_apart(slot);
    mark(slot);
}

bool is_power_of_two(size_t align)
{
    return align != 0 && (align & (align - 1)) == 0;
}

size_t rounded_up(size_t align)
{
    size_t rounded = 16;
    while (rounded < align && rounded < largest_align)
        rounded *= 2;
    return rounded;
}

bool is_zero(const unsigned char *block, size_t bytes)
{
    return bytes == 0 || (block[0] == 0 && memcmp(block, block + 1, bytes - 1) == 0);
}

// --- C ---

void c_calloc(struct slot *slot, size_t bytes, size_t count)
{
    size_t all = bytes;
    count += count == 0;
    bool overflows = count > 1 && bytes > SIZE_MAX / 16 && __builtin_mul_overflow(bytes, count, &all);
    void *block = overflows ? calloc(bytes, count) : calloc(count, bytes / count);
    all = overflows ? SIZE_MAX : bytes / count * count;
    REQUIRE(block == nullptr || child_of_callback != nullptr || is_zero((unsigned char *)block, all));
    put(slot, block, FORM_C, 1, all);
}

// With memalign and aligned_alloc: an alignment that cannot be had is EINVAL or ENOMEM; one that
// is no power of two is either refused or rounded up.
void c_memalign(struct slot *slot, void *(*call)(size_t, size_t), size_t align, size_t bytes)
{
    void *block = call(align, bytes);
    bool refused = block == nullptr && errno == EINVAL && child_of_callback == nullptr;
    if (refused)
        REQUIRE(align > largest_align || !is_power_of_two(align));
    if (refused)
        return;
    if (block != nullptr)
        REQUIRE(align <= largest_align);
    put(slot, block, FORM_C, rounded_up(align), bytes);
}

void c_on_node(struct slot *slot, size_t bytes)
{
    void *block = hf_malloc_onnode(bytes, 0);
    if (process.no_arena && child_of_callback == nullptr)
        REQUIRE(block == nullptr && errno == EINVAL); // no node has an arena
    else
        put(slot, block, FORM_C, 1, bytes);
}

void c_posix_memalign(struct slot *slot, size_t align, size_t bytes)
{
    void *block = slots;
    int error = posix_memalign(&block, align, bytes);
    bool allowed = is_power_of_two(align) && align % sizeof(void *) == 0;
    back_from_callback(error == 0 ? block : nullptr, bytes);
    REQUIRE(errno == some_errno);
    REQUIRE(error == 0 || block == slots);
    REQUIRE(allowed ? error == 0 || error == ENOMEM : error == EINVAL);
    errno = error == 0 ? some_errno : ENOMEM;
    if (allowed)
        put(slot, error == 0 ? block : nullptr, FORM_C, align, bytes);
}

void c_realloc(struct slot *slot, size_t bytes, size_t count)
{
    if (slot->form != FORM_C)
        drop(slot, 0);
    check(slot);
    unsigned char *old = slot->block, first = 0;
    size_t had = old == nullptr ? 0 : slot->bytes;
    if (had != 0)
        first = old[0];
    needs_parent = true;
    errno = some_errno;
    unsigned char *block =
        (unsigned char *)(count == 0 ? realloc(old, bytes) : reallocarray(old, bytes, count));
    int error = errno;
    needs_parent = false;
    if (child_of_callback != nullptr && (block != nullptr || bytes == 0))
        slot->block = nullptr; // it has moved
    back_from_callback(nullptr, 0);
    if (count != 0 && __builtin_mul_overflow(bytes, count, &bytes))
        bytes = SIZE_MAX;
    if (block == nullptr && bytes == 0 && old != nullptr) {
        slot->block = nullptr;
        return;
    }
    if (block == nullptr) {
        check_outcome(block, 1, bytes, error);
        REQUIRE(old == nullptr || bytes > had);
        check(slot);
        return;
    }
    REQUIRE(had == 0 || bytes == 0 || block[0] == first);
    errno = error;
    put(slot, block, FORM_C, 1, bytes);
}

// --- heaps ---

void heap_malloc(struct slot *slot, struct hf_heap **heap, size_t bytes)
{
    struct hf_heap_options options = {};
    options.size_bytes = sizeof options;
    options.name = "victim";
    options.flags = HF_HEAP_REGION;
    void *block = nullptr;
    needs_parent = true;
    if (*heap == nullptr)
        *heap = hf_heap_create(&options);
    if (*heap != nullptr) {
        bool uses = bytes % 2 != 0 && hf_heap_use(*heap) != nullptr;
        errno = some_errno;
        block = uses ? malloc(bytes) : hf_heap_malloc(*heap, bytes);
        int error = errno;
        REQUIRE(block == nullptr || process.no_arena || hf_heap_of(block) == *heap);
        hf_heap_use(nullptr);
        errno = error;
    }
    needs_parent = false;
    put(slot, block, FORM_C, 1, bytes);
}

// What is claimed is had, whatever the program has besides.
void claim(size_t bytes, size_t number)
{
    struct hf_claim claim;
    size_t sizes[8], n = 1 + number % 8;
    void *got[8];
    for (size_t i = 0; i < n; i++)
        sizes[i] = bytes >> (2 * i);
    needs_parent = true;
    int error = hf_claim(sizes, n, &claim);
    REQUIRE(error == 0 || error == -EAGAIN || error == -ENOMEM);
    for (size_t i = 0; i < n && error == 0; i++) {
        got[i] = malloc(sizes[i]);
        REQUIRE(got[i] != nullptr && malloc_usable_size(got[i]) >= sizes[i]);
    }
    for (size_t i = 0; i < n && error == 0; i++)
        free(got[i]);
    hf_claim_end(&claim);
    needs_parent = false;
}

// A forked child may have what it inherited as blocks of no heap; it has no more use for them either.
void heap_destroy(struct hf_heap **heap)
{
    if (*heap == nullptr)
        return;
    for (struct slot &slot : slots) {
        if (slot.block == nullptr || slot.home != *heap)
            continue;
        check(&slot);
        slot.block = nullptr;
    }
    hf_heap_destroy(*heap);
    *heap = nullptr;
}

// --- C++ ---

enum new_form { PLAIN, ARRAY, ALIGNED, ALIGNED_ARRAY };

void *call_new(enum new_form form, bool nothrow, size_t align, size_t bytes)
{
    switch (form) {
    case PLAIN: return nothrow ? ::operator new(bytes, std::nothrow) : ::operator new(bytes);
    case ARRAY: return nothrow ? ::operator new[](bytes, std::nothrow) : ::operator new[](bytes);
    case ALIGNED:
        return nothrow ? ::operator new(bytes, std::align_val_t(align), std::nothrow)
                       : ::operator new(bytes, std::align_val_t(align));
    case ALIGNED_ARRAY:
        return nothrow ? ::operator new[](bytes, std::align_val_t(align), std::nothrow)
                       : ::operator new[](bytes, std::align_val_t(align));
    }
    return nullptr;
}

void frees_or_gives_up()
{
    int saved_errno = errno;
    if (!in_step || !free_something())
        std::set_new_handler(nullptr);
    errno = saved_errno;
}

void throws()
{
    throw own_error();
}

void gives_up()
{
    std::set_new_handler(nullptr);
}

void cxx_new(struct slot *slot, enum new_form form, bool nothrow, size_t align, size_t bytes)
{
    static const enum form forms[] = { FORM_NEW, FORM_ARRAY, FORM_ALIGNED, FORM_ALIGNED_ARRAY };
    std::new_handler handler = std::get_new_handler();
    bool aligned = form == ALIGNED || form == ALIGNED_ARRAY;
    void *block = nullptr;
    bool thrown = false, own = false;
    while (aligned && !is_power_of_two(align))
        align = align == 0 ? 16 : align & (align - 1); // its highest bit: any other is undefined
    errno = some_errno;
    needs_parent = true;
    try {
        block = call_new(form, nothrow, align, bytes);
    } catch (const own_error &) {
        own = thrown = true;
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    int error = errno;
    needs_parent = false;
    back_from_callback(block, bytes);
    REQUIRE(!thrown || !nothrow);
    REQUIRE(block != nullptr || nothrow || thrown);
    REQUIRE(!own || handler == throws);
    REQUIRE(!thrown || own == (handler == throws));
    errno = block == nullptr ? ENOMEM : handler != nullptr ? some_errno : error;
    put(slot, block, forms[form], aligned ? align : 1, bytes);
}

// --- many blocks ---

void extend(struct slot *slot, size_t count, size_t bytes, size_t most)
{
    if (bytes < sizeof(struct link))
        bytes = sizeof(struct link);
    if (slot->chain == nullptr)
        slot->chain_bytes = bytes;
    bytes = slot->chain_bytes;
    for (size_t took = 0; count > 0 && took + bytes <= most; count--, took += bytes) {
        errno = some_errno;
        struct link *link = (struct link *)malloc(bytes);
        int error = errno;
        back_from_callback(link, bytes);
        check_outcome(link, 1, bytes, error);
        if (link == nullptr)
            return;
        *link = { slot->chain, ~(uintptr_t)link };
        if (bytes > sizeof(struct link))
            ((unsigned char *)link)[bytes - 1] = 1;
        slot->chain = link;
    }
}

void shorten(struct slot *slot, size_t count, size_t every)
{
    struct link **at = &slot->chain;
    for (size_t seen = 0; *at != nullptr && count > 0; seen++) {
        struct link *link = *at;
        REQUIRE(link->mark == ~(uintptr_t)link);
        if (seen % every != 0) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        link->mark = 0;
        free(link);
        count--;
    }
}

void check_chain(const struct slot *slot)
{
    for (const struct link *link = slot->chain; link != nullptr; link = link->next)
        REQUIRE(link->mark == ~(uintptr_t)link);
}

void use_usable_size(struct slot *slot)
{
    if (slot->block == nullptr || slot->form != FORM_C)
        return;
    check(slot);
    slot->bytes = malloc_usable_size(slot->block);
    check_apart(slot);
    mark(slot);
}

size_t most_of_chain(size_t most)
{
    return process.no_arena ? forsaken_most : most;
}

// --- questions ---

void ask_stats()
{
    struct hf_stats stats;
    char json[8192];
    if (process.no_arena)
        return;
    REQUIRE(hf_stats_get(&stats, sizeof stats) == 0);
    REQUIRE(stats.allocated + stats.idle + stats.free + stats.metadata == stats.arena);
    REQUIRE(hf_stats_json(json, sizeof json) > 0);
}

void ask_mallinfo()
{
    struct mallinfo2 info = mallinfo2();
    REQUIRE(info.uordblks + info.fordblks == info.arena);
    REQUIRE(info.keepcost <= info.arena); // large blocks are beside it, as with glibc
}

// What is there by halves of a page, with or without guards: some blocks of the C library's may
// lie between.
size_t room_in_pages()
{
    struct slot all = {};
    size_t bytes = 0;
    extend(&all, SIZE_MAX, 28000, chain_most);
    for (struct link *link = all.chain; link != nullptr; link = link->next)
        bytes += 32768;
    shorten(&all, SIZE_MAX, 1);
    return bytes;
}

bool run_new(const struct command *command, struct slot *slot)
{
    const size_t *arguments = command->arguments;
    switch (command->kind) {
    case FUZZ_new: cxx_new(slot, PLAIN, false, 1, arguments[1]); break;
    case FUZZ_new_array: cxx_new(slot, ARRAY, false, 1, arguments[1]); break;
    case FUZZ_new_nothrow: cxx_new(slot, PLAIN, true, 1, arguments[1]); break;
    case FUZZ_new_array_nothrow: cxx_new(slot, ARRAY, true, 1, arguments[1]); break;
    case FUZZ_new_aligned: cxx_new(slot, ALIGNED, false, arguments[1], arguments[2]); break;
    case FUZZ_new_array_aligned: cxx_new(slot, ALIGNED_ARRAY, false, arguments[1], arguments[2]); break;
    case FUZZ_new_aligned_nothrow: cxx_new(slot, ALIGNED, true, arguments[1], arguments[2]); break;
    case FUZZ_new_array_aligned_nothrow:
        cxx_new(slot, ALIGNED_ARRAY, true, arguments[1], arguments[2]);
        break;
    default: return false;
    }
    return true;
}

bool run_c(const struct command *command, struct slot *slot)
{
    const size_t *arguments = command->arguments;
    size_t size = arguments[1], aligned = arguments[2];
    errno = some_errno;
    switch (command->kind) {
    case FUZZ_malloc: put(slot, malloc(size), FORM_C, 1, size); break;
    case FUZZ_calloc: c_calloc(slot, size, arguments[2]); break;
    case FUZZ_memalign: c_memalign(slot, memalign, size, aligned); break;
    case FUZZ_aligned_alloc: c_memalign(slot, aligned_alloc, size, aligned); break;
    case FUZZ_hf_aligned: c_memalign(slot, hf_aligned_alloc, size, aligned); break;
    case FUZZ_posix_memalign: c_posix_memalign(slot, size, aligned); break;
    case FUZZ_hf_onnode: c_on_node(slot, size); break;
    case FUZZ_valloc: put(slot, valloc(size), FORM_C, 4096, size); break;
    case FUZZ_pvalloc: put(slot, pvalloc(size), FORM_C, 4096, size); break;
    default: return false;
    }
    return true;
}

bool run_many(const struct command *command, struct slot *slot)
{
    const size_t *arguments = command->arguments;
    switch (command->kind) {
    case FUZZ_realloc: c_realloc(slot, arguments[1], 0); break;
    case FUZZ_reallocarray: c_realloc(slot, arguments[1], arguments[2]); break;
    case FUZZ_free: drop(slot, arguments[1]); break;
    case FUZZ_usable: use_usable_size(slot); break;
    case FUZZ_chain: extend(slot, arguments[1], arguments[2] % 70000, most_of_chain(chain_most)); break;
    case FUZZ_unchain: shorten(slot, arguments[1], arguments[2]); break;
    case FUZZ_fill:
        extend(slot, SIZE_MAX, arguments[1] % 4000000 + 1000,
               most_of_chain(process.growing ? fill_most : chain_most * 2));
        break;
    case FUZZ_heap_malloc: heap_malloc(slot, &heaps[arguments[2] % heaps_most], arguments[1]); break;
    case FUZZ_heap_destroy: heap_destroy(&heaps[arguments[0] % heaps_most]); break;
    case FUZZ_claim: claim(arguments[0], arguments[1]); break;
    case FUZZ_empty: blocks_empty(); break;
    case FUZZ_check: blocks_check(); break;
    default: return false;
    }
    return true;
}

bool run_question(const struct command *command)
{
    switch (command->kind) {
    case FUZZ_idle: hf_thread_idle(); break;
    case FUZZ_trim: malloc_trim(0); break;
    case FUZZ_mallinfo: ask_mallinfo(); break;
    case FUZZ_stats: ask_stats(); break;
    case FUZZ_handler_none: std::set_new_handler(nullptr); break;
    case FUZZ_handler_frees: std::set_new_handler(frees_or_gives_up); break;
    case FUZZ_handler_throws: std::set_new_handler(throws); break;
    case FUZZ_handler_gives_up: std::set_new_handler(gives_up); break;
    default: return false;
    }
    return true;
}

} // namespace

thread_local bool in_step;
bool needs_parent;
void (*child_of_callback)();

bool free_something()
{
    for (struct slot &slot : slots) {
        if (&slot == busy || (slot.block == nullptr && slot.chain == nullptr))
            continue;
        drop(&slot, 0);
        shorten(&slot, SIZE_MAX, 1);
        return true;
    }
    return false;
}

void blocks_check()
{
    for (const struct slot &slot : slots) {
        check(&slot);
        check_chain(&slot);
    }
}

void blocks_empty()
{
    for (struct slot &slot : slots) {
        drop(&slot, 1);
        shorten(&slot, SIZE_MAX, 1);
    }
    for (struct hf_heap *&heap : heaps)
        heap_destroy(&heap);
}

void blocks_forget()
{
    memset(slots, 0, sizeof slots);
    memset(heaps, 0, sizeof heaps);
}

void check_whole()
{
    if (process.most == 0 || process.loses || process.no_arena)
        return;
    void *most = malloc(process.most);
    size_t room = most != nullptr ? process.most : room_in_pages();
    if (room < process.most)
        fail("room in KiB left", (int)(room >> 10), "is 9/10 of what it was", nullptr);
    free(most);
}

bool run_allocation(const struct command *command)
{
    const struct fuzz_command_kind *kind = &fuzz_kinds[command->kind];
    struct slot *slot = kind->arguments[0] == 's' ? &slots[command->arguments[0] % FUZZ_SLOTS] : nullptr;
    bool replaces = slot != nullptr && command->kind <= FUZZ_new_array_aligned_nothrow &&
                    command->kind != FUZZ_realloc && command->kind != FUZZ_reallocarray;
    busy = slot;
    if (replaces)
        drop(slot, command->arguments[1]);
    bool known =
        run_c(command, slot) || run_new(command, slot) || run_many(command, slot) || run_question(command);
    busy = nullptr;
    return known;
}
