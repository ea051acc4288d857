/*
 * override-cxx: operator new and delete, by the Itanium ABI's names (size_t is m).
 *
 * A program may replace any form alone.  C++ says which form calls which, with and without
 * alignment:
 *
 *   new[] calls new, and delete[] calls delete.  delete with a size calls delete, and delete[] with
 *   a size calls delete[].  new that does not throw calls new, and catches.
 *
 * CX1: a form that calls another does so by its name, so that a program's own gets the call.  noplt
 *      leads through the global offset table.  noipa keeps compiler and link-time optimiser from
 *      taking a shorter way.
 * CX2: only new and delete, with and without alignment, touch the heap.
 *
 * The forms with nothrow are not here: those of the C++ runtime call the forms above, and catch
 * what a handler throws, which C cannot do.
 *
 * Weak also lets a program that is linked with libholdfast.a replace some of them.  They have an
 * object of their own because a C program needs none of them.  A new handler may throw through
 * these frames: they are compiled with -fexceptions.
 *
 * Tests: tests/cxx.sh, tests/programs/cxx.cc.
 */
#include "malloc/alloc.h"
#include "names/elf.h"
#include "base/say.h"

#define OPERATOR HFI_EXPORT __attribute__((weak, noplt, noipa))

OPERATOR void *_Znwm(size_t bytes);
OPERATOR void *_Znam(size_t bytes);
OPERATOR void *_ZnwmSt11align_val_t(size_t bytes, size_t align);
OPERATOR void *_ZnamSt11align_val_t(size_t bytes, size_t align);
OPERATOR void _ZdlPv(void *pointer);
OPERATOR void _ZdaPv(void *pointer);
OPERATOR void _ZdlPvm(void *pointer, size_t bytes);
OPERATOR void _ZdaPvm(void *pointer, size_t bytes);
OPERATOR void _ZdlPvSt11align_val_t(void *pointer, size_t align);
OPERATOR void _ZdaPvSt11align_val_t(void *pointer, size_t align);
OPERATOR void _ZdlPvmSt11align_val_t(void *pointer, size_t bytes, size_t align);
OPERATOR void _ZdaPvmSt11align_val_t(void *pointer, size_t bytes, size_t align);

/* --- when there is no memory: std::get_new_handler and std::__throw_bad_alloc --- */

typedef void new_handler(void);
typedef new_handler *get_new_handler(void);

/* Bound when the shared library is loaded, to nothing where the C++ runtime comes with a plugin.  In the
 * static one this object is linked for a program that uses the operators, with its runtime. */
#ifdef PIC
#define FROM_RUNTIME __attribute__((weak))
#else
#define FROM_RUNTIME
#endif
FROM_RUNTIME new_handler *_ZSt15get_new_handlerv(void);
FROM_RUNTIME void _ZSt17__throw_bad_allocv(void);

/* Of the runtime that is bound: a call that came here by the program's names has set its handler there,
 * too.  Where none is, of the one that the caller has inside, as two in one process know nothing of each
 * other.  Else all objects are searched. */
static hfi_any_function *of_runtime(const char *name, hfi_any_function *bound, const void *caller)
{
    hfi_any_function *found = bound != NULL ? bound : hfi_elf_find_in(name, caller);
    return found != NULL ? found : hfi_elf_find(name);
}

static _Noreturn void throw_bad_alloc(size_t bytes, const void *caller)
{
    hfi_any_function *throw = of_runtime("_ZSt17__throw_bad_allocv", _ZSt17__throw_bad_allocv, caller);
    if (throw != NULL)
        throw();
    hfi_die(
        "HF-E016", "cxx",
        "operator new found no memory for %zu bytes, and this process has no "
        "std::__throw_bad_alloc to call; link libstdc++ as a shared library, or make room as HF-E012 says",
        bytes);
}

/* What [new.delete.single] asks for: the handler again and again, then bad_alloc. */
static HFI_COLD void *new_failing(size_t align, size_t bytes, const void *caller)
{
    hfi_any_function *bound = (hfi_any_function *)_ZSt15get_new_handlerv;
    get_new_handler *get = (get_new_handler *)of_runtime("_ZSt15get_new_handlerv", bound, caller);
    for (new_handler *handler; get != NULL && (handler = get()) != NULL;) {
        handler();
        void *block = hfi_aligned_alloc(align, bytes);
        if (block != NULL)
            return block;
    }
    throw_bad_alloc(bytes, caller);
}

/* --- the four --- */

static HFI_NOINLINE void *new_slow(size_t bytes, const void *caller)
{
    void *block = hfi_malloc_slow(bytes, false);
    return hfi_likely(block != NULL) ? block : new_failing(HFI_MAX_ALIGN, bytes, caller);
}

/* hfi_malloc, but that the failing path ends in a call that keeps `bytes`: no register is saved
 * here. */
void *_Znwm(size_t bytes)
{
    struct page_front *front = hfi_front_for(bytes);
    struct block *block = front->free;
    HFI_IN_RETURN_REGISTER(block);
    if (hfi_unlikely(block == NULL))
        return new_slow(bytes, __builtin_return_address(0));
    return hfi_front_pop(front, block);
}

/* The handler is not asked about what is no alignment: nor does libstdc++ ask it. */
void *_ZnwmSt11align_val_t(size_t bytes, size_t align)
{
    if (hfi_unlikely(!hfi_is_power_of_two(align)))
        throw_bad_alloc(bytes, __builtin_return_address(0));
    void *block = hfi_aligned_alloc(align, bytes);
    return hfi_likely(block != NULL) ? block : new_failing(align, bytes, __builtin_return_address(0));
}

void _ZdlPv(void *pointer)
{
    hfi_free(pointer);
}

void _ZdlPvSt11align_val_t(void *pointer, size_t align)
{
    (void)align;
    hfi_free(pointer);
}

/* --- those that call them (CX1) --- */

void *_Znam(size_t bytes)
{
    return _Znwm(bytes);
}

void *_ZnamSt11align_val_t(size_t bytes, size_t align)
{
    return _ZnwmSt11align_val_t(bytes, align);
}

void _ZdaPv(void *pointer)
{
    _ZdlPv(pointer);
}

void _ZdlPvm(void *pointer, size_t bytes)
{
    (void)bytes;
    _ZdlPv(pointer);
}

void _ZdaPvm(void *pointer, size_t bytes)
{
    (void)bytes;
    _ZdaPv(pointer);
}

void _ZdaPvSt11align_val_t(void *pointer, size_t align)
{
    _ZdlPvSt11align_val_t(pointer, align);
}

void _ZdlPvmSt11align_val_t(void *pointer, size_t bytes, size_t align)
{
    (void)bytes;
    _ZdlPvSt11align_val_t(pointer, align);
}

void _ZdaPvmSt11align_val_t(void *pointer, size_t bytes, size_t align)
{
    (void)bytes;
    _ZdaPvSt11align_val_t(pointer, align);
}
