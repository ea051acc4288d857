/*
 * elf: functions of libraries that may have been loaded after this one.
 *
 * dlsym does not see what was loaded with RTLD_LOCAL, and with a handle from dlopen it may
 * allocate.  These are looked for when nothing is left to allocate.
 */
#ifndef HFI_ELF_H
#define HFI_ELF_H

typedef void hfi_any_function(void);

/* The function of that name in the object that `address` lies in, which is not unloaded meanwhile; NULL
 * where that defines none.  Allocates nothing, and takes no lock. */
hfi_any_function *hfi_elf_find_in(const char *name, const void *address);

/* The same of a C++ runtime that is an object of its own, or else of the first object of the
 * process, in the order of loading, that defines it for others.  Allocates nothing; waits while another
 * thread is in dlopen or dlclose. */
hfi_any_function *hfi_elf_find(const char *name);

#endif
