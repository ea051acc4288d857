/*
 * elf: see elf.h.
 *
 * dl_iterate_phdr leads to the dynamic section of each object, and that to its symbols and their
 * hash table.  Most objects have DT_GNU_HASH:
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
    const ElfW(Sym) * symbols;
    const char *names;
    const struct hash_table *table;
    const struct sysv_table *sysv;
};

struct search {
    const char *name;
    uint32_t hash;
    const void *within; /* NULL: any object */
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
static const void *address(const struct dl_phdr_info *info, const ElfW(Dyn) * entry)
{
    bool is_offset = entry->d_un.d_ptr < info->dlpi_addr;
    return (const void *)(entry->d_un.d_ptr + (is_offset ? info->dlpi_addr : 0));
}

static bool object_read(struct object *object, const struct dl_phdr_info *info)
{
    const ElfW(Dyn) *entry = NULL;
    *object = (struct object){ NULL };
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            object->symbols = address(info, entry);
        else if (entry->d_tag == DT_STRTAB)
            object->names = address(info, entry);
        else if (entry->d_tag == DT_GNU_HASH)
            object->table = address(info, entry);
        else if (entry->d_tag == DT_HASH)
            object->sysv = address(info, entry);
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

static bool holds(const struct dl_phdr_info *info, const void *address)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (uintptr_t)address - (info->dlpi_addr + part->p_vaddr) < part->p_memsz)
            return true;
    }
    return false;
}

/* libstdc++.so, libc++.so: what a plugin is linked with, unless it has a runtime inside. */
static bool is_runtime(const struct dl_phdr_info *info)
{
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash == NULL ? info->dlpi_name : slash + 1;
    return strncmp(name, "libstdc++", 9) == 0 || strncmp(name, "libc++", 6) == 0;
}

static int search_object(struct dl_phdr_info *info, size_t info_bytes, void *argument)
{
    struct search *search = argument;
    struct object object;
    (void)info_bytes;
    if (search->within != NULL && !holds(info, search->within))
        return 0;
    const ElfW(Sym) *symbol = object_read(&object, info) ? symbol_find(&object, search) : NULL;
    bool is_better = symbol != NULL && (search->found == NULL || is_runtime(info));
    if (is_better)
        search->found = (hfi_any_function *)(info->dlpi_addr + symbol->st_value);
    return search->within != NULL || (is_better && is_runtime(info));
}

static hfi_any_function *find(const char *name, const void *within)
{
    struct search search = { .name = name, .hash = hash_of(name), .within = within };
    dl_iterate_phdr(search_object, &search);
    return search.found;
}

hfi_any_function *hfi_elf_find_in(const char *name, const void *address)
{
    return find(name, address);
}

hfi_any_function *hfi_elf_find(const char *name)
{
    return find(name, NULL);
}
