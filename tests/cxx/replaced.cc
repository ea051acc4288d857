// replaced: a program that replaces some forms of operator new and delete, by ones that put a header
// in front of each block.  Prints, for each form, which of its own were called for it: tests/cxx.sh
// compares that with what the C++ runtime alone does.
//
// REPLACED: 1 new and delete; 2 their arrays too; 3 the aligned ones; 4 new, and delete with a size too.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace {

constexpr std::size_t header_bytes = 64; // as much as the alignment asked for here
constexpr std::uint64_t mark = 0x686561646572;
bool refuse;
char trace[200];

void note(const char *name)
{
    std::strcat(trace, name);
    std::strcat(trace, " ");
}

void *make(const char *name, std::size_t bytes)
{
    note(name);
    if (refuse)
        throw std::bad_alloc();
    std::size_t rounded = (bytes + header_bytes - 1) / header_bytes * header_bytes;
    char *memory = static_cast<char *>(std::aligned_alloc(header_bytes, header_bytes + rounded));
    std::memcpy(memory, &mark, sizeof mark);
    return memory + header_bytes;
}

void unmake(const char *name, void *block)
{
    note(name);
    if (block == nullptr)
        return;
    char *memory = static_cast<char *>(block) - header_bytes;
    if (std::memcmp(memory, &mark, sizeof mark) != 0)
        note("(of another)");
    else
        std::free(memory);
}

} // namespace

#if REPLACED != 3
void *operator new(std::size_t bytes)
{
    return make("new", bytes);
}
void operator delete(void *block) noexcept
{
    unmake("delete", block);
}
#endif
#if REPLACED == 2
void *operator new[](std::size_t bytes)
{
    return make("new[]", bytes);
}
void operator delete[](void *block) noexcept
{
    unmake("delete[]", block);
}
#endif
#if REPLACED == 3
void *operator new(std::size_t bytes, std::align_val_t)
{
    return make("new-aligned", bytes);
}
void operator delete(void *block, std::align_val_t) noexcept
{
    unmake("delete-aligned", block);
}
#endif
#if REPLACED == 4
void operator delete(void *block, std::size_t) noexcept
{
    unmake("delete-sized", block);
}
#endif

namespace {

constexpr std::align_val_t align{64};
constexpr std::size_t size = 100;

// A way to make a block, and those to give it back.
struct form {
    const char *name;
    void *(*make)();
    void (*unmake[3])(void *);
};

const form forms[] = {
    {"new", [] { return ::operator new(size); },
     {[](void *p) { ::operator delete(p); }, [](void *p) { ::operator delete(p, size); },
      [](void *p) { ::operator delete(p, std::nothrow); }}},
    {"new(nothrow)", [] { return ::operator new(size, std::nothrow); },
     {[](void *p) { ::operator delete(p); }, [](void *p) { ::operator delete(p, size); },
      [](void *p) { ::operator delete(p, std::nothrow); }}},
    {"new[]", [] { return ::operator new[](size); },
     {[](void *p) { ::operator delete[](p); }, [](void *p) { ::operator delete[](p, size); },
      [](void *p) { ::operator delete[](p, std::nothrow); }}},
    {"new[](nothrow)", [] { return ::operator new[](size, std::nothrow); },
     {[](void *p) { ::operator delete[](p); }, [](void *p) { ::operator delete[](p, size); },
      [](void *p) { ::operator delete[](p, std::nothrow); }}},
    {"new(align)", [] { return ::operator new(size, align); },
     {[](void *p) { ::operator delete(p, align); }, [](void *p) { ::operator delete(p, size, align); },
      [](void *p) { ::operator delete(p, align, std::nothrow); }}},
    {"new(align, nothrow)", [] { return ::operator new(size, align, std::nothrow); },
     {[](void *p) { ::operator delete(p, align); }, [](void *p) { ::operator delete(p, size, align); },
      [](void *p) { ::operator delete(p, align, std::nothrow); }}},
    {"new[](align)", [] { return ::operator new[](size, align); },
     {[](void *p) { ::operator delete[](p, align); }, [](void *p) { ::operator delete[](p, size, align); },
      [](void *p) { ::operator delete[](p, align, std::nothrow); }}},
    {"new[](align, nothrow)", [] { return ::operator new[](size, align, std::nothrow); },
     {[](void *p) { ::operator delete[](p, align); }, [](void *p) { ::operator delete[](p, size, align); },
      [](void *p) { ::operator delete[](p, align, std::nothrow); }}},
};

void *made(const form &by)
{
    try {
        return by.make();
    } catch (const std::bad_alloc &) {
        note("bad_alloc");
        return nullptr;
    }
}

void print_traces()
{
    for (const form &by : forms)
        for (auto unmake : by.unmake) {
            trace[0] = 0;
            void *block = made(by);
            std::printf("%s: %s%s;", by.name, trace, block == nullptr ? "null" : "block");
            trace[0] = 0;
            unmake(block);
            std::printf(" given back: %s\n", trace);
        }
}

// Blocks of all forms, half of them given back: what is made next lies apart from those that live.
void print_overlaps()
{
    struct live_block {
        unsigned char *start;
        unsigned round;
    };
    std::vector<live_block> live;
    unsigned bad = 0;
    for (unsigned round = 0; round < 2000; round++) {
        live.push_back({static_cast<unsigned char *>(made(forms[round % 8])), round});
        std::memset(live.back().start, round & 0xff, size);
        trace[0] = 0;
        if (round % 2 == 0)
            continue;
        auto which = live.begin() + round / 2 % 7 % live.size();
        for (std::size_t i = 0; i < size; i++)
            bad += which->start[i] != (which->round & 0xff);
        forms[which->round % 8].unmake[round / 16 % 3](which->start);
        live.erase(which);
        trace[0] = 0;
    }
    std::printf("overwritten: %u\n", bad);
}

} // namespace

int main()
{
    print_traces();
    refuse = true;
    print_traces();
    refuse = false;
    print_overlaps();
    std::fflush(stdout);
    std::_Exit(0);
}
