// cxx: every replaceable form of operator new and delete, the new handler, and bad_alloc.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <holdfast/holdfast.h>

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                     \
        }                                                                     \
    } while (0)

struct alignas(256) Wide {
    char data[300];
};

static int handler_calls;

static void handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

int main()
{
    volatile std::size_t absurd = static_cast<std::size_t>(1) << 60;
    std::unique_ptr<int> one(new int(7));
    CHECK(hf_owns(one.get()));
    std::unique_ptr<char[]> many(new char[100000]);
    CHECK(hf_owns(many.get()));
    Wide *wide = new Wide;
    CHECK(hf_owns(wide) && reinterpret_cast<std::uintptr_t>(wide) % 256 == 0);
    delete wide;
    Wide *wides = new (std::nothrow) Wide[10];
    CHECK(hf_owns(wides) && reinterpret_cast<std::uintptr_t>(wides) % 256 == 0);
    delete[] wides;
    void *plain = ::operator new(50, std::nothrow);
    ::operator delete(plain, std::nothrow);
    plain = ::operator new(64, std::align_val_t(64), std::nothrow);
    ::operator delete(plain, 64, std::align_val_t(64));
    std::set_new_handler(handler);
    bool thrown = false;
    try {
        plain = ::operator new(absurd);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown && handler_calls == 3);
    CHECK(::operator new(absurd, std::nothrow) == nullptr);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([] {
            std::vector<std::string> strings;
            for (int j = 0; j < 20000; j++)
                strings.push_back(std::string(static_cast<std::size_t>(j % 300), 'a'));
        });
    for (auto &thread : threads)
        thread.join();
    return 0;
}
