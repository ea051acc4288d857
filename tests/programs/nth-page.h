/*
 * nth-page: the forms of operator new, for nth-page.c; NULL where they threw std::bad_alloc.
 */
#ifndef NTH_PAGE_H
#define NTH_PAGE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *new_one(size_t bytes, size_t align);
void *new_array(size_t bytes, size_t align);
void *new_one_nothrow(size_t bytes, size_t align);
void *new_array_nothrow(size_t bytes, size_t align);
void *new_one_aligned(size_t bytes, size_t align);
void *new_array_aligned(size_t bytes, size_t align);
void *new_one_aligned_nothrow(size_t bytes, size_t align);
void *new_array_aligned_nothrow(size_t bytes, size_t align);

/* Frees eight blocks, each by another form of operator delete. */
void delete_eight(void **blocks);

#ifdef __cplusplus
}
#endif

#endif
