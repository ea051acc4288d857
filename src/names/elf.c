/*
 * elf: see elf.h.
 *
 * The loader leads to the dynamic section of an object, and that to its symbols and their hash table.
 * The object of an address is found without a lock (_dl_find_object, glibc 2.35), as the C++ runtime finds
 * it to throw.  It stays while its code is called.  To look at all objects takes the loader's lock
 * (dl_iterate_phdr).  Most objects have DT_GNU_HASH:
 *
 *   header | bloom filter | buckets: the first symbol of each | chains: a hash for each symbol
 *
 * Chains begin with symbol `symbol_offset`; the lowest bit of a hash ends its chain.  An object
 * linked with --hash-style=sysv has DT_HASH alone, from which the number of symbols is read: all are
 * looked at.  What has neither is passed over, as the loader finds no symbol in it either.
 *
 * Test: tests/cxx.sh.
 */
#include "names/elf.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "base/base.h"

struct hash_table {
    uint32_t bucket_count;
    uint32_t symbol_offset;
    uint32_t bloom_words;
    uint32_t bloom_shift;
    ElfW(Addr) bloom[];
};

struct sysv_table {
    uint32_t bucket_count;
    uint32_t symbol_count;
};

struct object {
    ElfW(Addr) base;
    const ElfW(Sym) * symbols;
    const char *names;
    const struct hash_table *table;
    const struct sysv_table *sysv;
};

struct search {
    const char *name;
    uint32_t hash;
    hfi_any_function *found;
};

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (const char *at = name; *at != 0; at++)
        hash = hash * 33 + (unsigned char)*at;
    return hash;
}

/* The loader has made addresses of the offsets in the file, except in the kernel's own object. */
static const void *address(const struct object *object, const ElfW(Dyn) * entry)
{
    bool is_offset = entry->d_un.d_ptr < object->base;
    return (const void *)(entry->d_un.d_ptr + (is_offset ? object->base : 0));
}

/* By its dynamic section. */
static bool object_read(struct object *object, ElfW(Addr) base, const ElfW(Dyn) * entry)
{
    *object = (struct object){ .base = base };
    for (; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            object->symbols = address(object, entry);
        else if (entry->d_tag == DT_STRTAB)
            object->names = address(object, entry);
        else if (entry->d_tag == DT_GNU_HASH)
            object->table = address(object, entry);
        else if (entry->d_tag == DT_HASH)
            object->sysv = address(object, entry);
    }
    return object->symbols != NULL && object->names != NULL;
}

static bool is_it(const struct object *object, const ElfW(Sym) * symbol, const char *name)
{
    return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
           strcmp(object->names + symbol->st_name, name) == 0;
}

static const ElfW(Sym) * symbol_among_all(const struct object *object, const char *name)
{
    uint32_t count = object->sysv == NULL ? 0 : object->sysv->symbol_count;
    for (uint32_t index = 1; index < count; index++)
        if (is_it(object, &object->symbols[index], name))
            return &object->symbols[index];
    return NULL;
}

static const ElfW(Sym) * symbol_hashed(const struct object *object, const struct search *search)
{
    const struct hash_table *table = object->table;
    const uint32_t *buckets = (const uint32_t *)&table->bloom[table->bloom_words];
    const uint32_t *chains = buckets + table->bucket_count;
    uint32_t index = table->bucket_count == 0 ? 0 : buckets[search->hash % table->bucket_count];
    if (index == 0 || index < table->symbol_offset) /* an empty bucket */
        return NULL;
    for (;; index++) {
        uint32_t hash = chains[index - table->symbol_offset];
        const ElfW(Sym) *symbol = &object->symbols[index];
        if ((hash | 1) == (search->hash | 1) && is_it(object, symbol, search->name))
            return symbol;
        if ((hash & 1) != 0)
            return NULL;
    }
}

static const ElfW(Sym) * symbol_find(const struct object *object, const struct search *search)
{
    return object->table != NULL ? symbol_hashed(object, search) : symbol_among_all(object, search->name);
}

/* libstdc++.so, libc++.so: what a plugin is linked with, unless it has a runtime inside. */
static bool is_runtime(const struct dl_phdr_info *info)
{
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash == NULL ? info->dlpi_name : slash + 1;
    return strncmp(name, "libstdc++", 9) == 0 || strncmp(name, "libc++", 6) == 0;
}

static hfi_any_function *function_of(const struct object *object, const struct search *search)
{
    const ElfW(Sym) *symbol = symbol_find(object, search);
    return symbol == NULL ? NULL : (hfi_any_function *)(object->base + symbol->st_value);
}

static int search_object(struct dl_phdr_info *info, size_t info_bytes, void *argument)
{
    struct search *search = argument;
    struct object object;
    const ElfW(Dyn) *dynamic = NULL;
    (void)info_bytes;
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    hfi_any_function *found =
        object_read(&object, info->dlpi_addr, dynamic) ? function_of(&object, search) : NULL;
    bool is_better = found != NULL && (search->found == NULL || is_runtime(info));
    if (is_better)
        search->found = found;
    return is_better && is_runtime(info);
}

hfi_any_function *hfi_elf_find_in(const char *name, const void *address)
{
    struct search search = { .name = name, .hash = hash_of(name) };
    struct dl_find_object place;
    struct object object;
    if (_dl_find_object((void *)address, &place) != 0)
        return NULL;
    const struct link_map *map = place.dlfo_link_map;
    return object_read(&object, map->l_addr, map->l_ld) ? function_of(&object, &search) : NULL;
}

hfi_any_function *hfi_elf_find(const char *name)
{
    struct search search = { .name = name, .hash = hash_of(name) };
    dl_iterate_phdr(search_object, &search);
    return search.found;
}
