// handler: what each form of operator new does with a new handler that throws, one that gives up
// after some calls, and none, and with alignments that are none.  tests/cxx.sh compares the output
// with what the C++ runtime alone does.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <new>
#include <string>

namespace {

volatile std::size_t absurd = static_cast<std::size_t>(1) << 60;
volatile std::size_t zero = 0;
constexpr std::align_val_t align{64};
unsigned calls;

struct too_little : std::bad_alloc {
};

void throws()
{
    calls++;
    throw too_little();
}

void gives_up()
{
    if (++calls == 3)
        std::set_new_handler(nullptr);
}

struct form {
    const char *name;
    void *(*make)(std::size_t);
};

const form forms[] = {
    {"new", [](std::size_t bytes) { return ::operator new(bytes); }},
    {"new[]", [](std::size_t bytes) { return ::operator new[](bytes); }},
    {"new(nothrow)", [](std::size_t bytes) { return ::operator new(bytes, std::nothrow); }},
    {"new[](nothrow)", [](std::size_t bytes) { return ::operator new[](bytes, std::nothrow); }},
    {"new(align)", [](std::size_t bytes) { return ::operator new(bytes, align); }},
    {"new[](align)", [](std::size_t bytes) { return ::operator new[](bytes, align); }},
    {"new(align, nothrow)", [](std::size_t bytes) { return ::operator new(bytes, align, std::nothrow); }},
    {"new[](align, nothrow)", [](std::size_t bytes) { return ::operator new[](bytes, align, std::nothrow); }},
};

// By std::string, as any program would: what it needs of libstdc++.a has std::__throw_bad_alloc in it.
template <typename Call> void print(const std::string &name, Call call)
{
    const char *outcome = "block";
    calls = 0;
    try {
        if (call() == nullptr)
            outcome = "null";
    } catch (const too_little &) {
        outcome = "too_little";
    } catch (const std::bad_alloc &) {
        outcome = "bad_alloc";
    }
    std::printf("%s: %s, %u calls of the handler, %d exceptions\n", name.c_str(), outcome, calls,
                std::uncaught_exceptions());
}

void print_forms(const char *what, std::new_handler handler)
{
    std::printf("%s\n", what);
    for (const form &by : forms) {
        std::set_new_handler(handler);
        print(by.name, [&] { return by.make(absurd); });
        std::set_new_handler(nullptr);
        print(by.name, [&] { return by.make(zero); });
    }
}

void print_alignments()
{
    for (std::size_t wrong : {0, 3, 24, 48, 100, 4097, (1 << 20) + 1}) {
        auto value = static_cast<std::align_val_t>(wrong);
        std::printf("alignment %zu\n", wrong);
        print("new", [&] { return ::operator new(100, value); });
        print("new[]", [&] { return ::operator new[](100, value); });
        print("new(nothrow)", [&] { return ::operator new(100, value, std::nothrow); });
    }
}

} // namespace

int main()
{
    print_forms("no handler", nullptr);
    print_forms("a handler that throws", throws);
    print_forms("a handler that gives up", gives_up);
    print_alignments();
    return 0;
}
