// nth-page-new: see nth-page.h.
#include <new>

#include "nth-page.h"

namespace {

// [new.delete.single]: what throws throws bad_alloc and nothing else.
template <typename Call> void *caught(Call call)
{
    try {
        return call();
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

} // namespace

void *new_one(size_t bytes, size_t)
{
    return caught([=] { return ::operator new(bytes); });
}

void *new_array(size_t bytes, size_t)
{
    return caught([=] { return ::operator new[](bytes); });
}

void *new_one_nothrow(size_t bytes, size_t)
{
    return ::operator new(bytes, std::nothrow);
}

void *new_array_nothrow(size_t bytes, size_t)
{
    return ::operator new[](bytes, std::nothrow);
}

void *new_one_aligned(size_t bytes, size_t align)
{
    return caught([=] { return ::operator new(bytes, std::align_val_t(align)); });
}

void *new_array_aligned(size_t bytes, size_t align)
{
    return caught([=] { return ::operator new[](bytes, std::align_val_t(align)); });
}

void *new_one_aligned_nothrow(size_t bytes, size_t align)
{
    return ::operator new(bytes, std::align_val_t(align), std::nothrow);
}

void *new_array_aligned_nothrow(size_t bytes, size_t align)
{
    return ::operator new[](bytes, std::align_val_t(align), std::nothrow);
}

void delete_eight(void **blocks)
{
    ::operator delete(blocks[0]);
    ::operator delete[](blocks[1]);
    ::operator delete(blocks[2], std::nothrow);
    ::operator delete[](blocks[3], std::nothrow);
    ::operator delete(blocks[4], 1);
    ::operator delete[](blocks[5], 1);
    ::operator delete(blocks[6], std::align_val_t(16));
    ::operator delete[](blocks[7], 1, std::align_val_t(16));
}
