/*
 * info: the arena's figures in the words of glibc's malloc (mallinfo, malloc_info, malloc_stats).
 *
 * A node is one of glibc's arenas (a heap in malloc_info); a large block is what glibc would map on
 * its own.  So sums that are right for glibc are right here: arena + hblkhd is what the arena
 * has, uordblks + hblkhd what of it the program has in blocks.  These are counted: some tenths of a
 * millisecond per GiB in use.
 */
#ifndef HFI_INFO_H
#define HFI_INFO_H

#include <malloc.h>
#include <stdio.h>

struct mallinfo2 hfi_info_mallinfo2(void);

/* The XML of malloc_info. */
void hfi_info_xml(FILE *stream);

/* The lines of malloc_stats. */
void hfi_info_print(FILE *stream);

#endif
