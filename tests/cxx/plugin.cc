// plugin: C++ that a C program loads: new that fails calls the handler and throws, in this object and
// in libstdc++'s, also when the arena is full to the last block.
#include <cstdlib>
#include <new>
#include <string>

namespace {

volatile std::size_t absurd = static_cast<std::size_t>(1) << 60;
volatile std::size_t large = static_cast<std::size_t>(1) << 40;
unsigned calls;
std::string text; // empty: what it grows by is allocated in libstdc++

void handler()
{
    if (++calls == 2)
        std::set_new_handler(nullptr);
}

template <typename Call> bool fails(Call call)
{
    calls = 0;
    std::set_new_handler(handler);
    try {
        call();
    } catch (const std::bad_alloc &) {
        return calls == 2;
    }
    return false;
}

bool all_fail()
{
    return fails([] { return ::operator new(absurd); }) && fails([] { return ::operator new[](absurd); }) &&
           fails([] { return ::operator new(absurd, std::align_val_t(64)); }) &&
           fails([] { text.reserve(large); });
}

bool nothrow_is_null()
{
    std::set_new_handler([] { throw std::bad_alloc(); });
    bool is_null = ::operator new(absurd, std::nothrow) == nullptr;
    is_null = is_null && ::operator new[](absurd, std::nothrow) == nullptr;
    std::set_new_handler(nullptr);
    return is_null;
}

// Blocks in a list through themselves: all that there are.
struct block {
    block *next;
    char rest[56];
};

bool fails_when_full()
{
    block *list = nullptr;
    std::size_t bytes = static_cast<std::size_t>(1) << 20;
    for (; bytes >= sizeof(block); bytes /= 2)
        while (auto *more = static_cast<block *>(std::malloc(bytes))) {
            more->next = list;
            list = more;
        }
    while (std::malloc(1) != nullptr)
        ;
    bool failed = all_fail() && nothrow_is_null() && fails([] { return ::operator new(1); });
    while (list != nullptr) {
        block *next = list->next;
        std::free(list);
        list = next;
    }
    return failed && !fails([] { return ::operator new(1); });
}

} // namespace

extern "C" int plugin_run(int when_full)
{
    // First with room, for glibc allocates what libstdc++ keeps for each thread at the first throw.
    return all_fail() && nothrow_is_null() && (!when_full || fails_when_full()) ? 0 : 1;
}
