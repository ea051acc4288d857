/*
 * fill: takes all that malloc gives, and writes to each byte of it: the arena gives nothing out that a
 * touch would end the process for.
 */
#include <string.h>

#include "lab.h"

#define BLOCK_BYTES HFI_MIB

int main(int argc, char **argv)
{
    size_t least = argc == 2 ? strtoul(argv[1], NULL, 10) : 1, had = 0;
    lab_start();
    for (char *block; (block = malloc(BLOCK_BYTES)) != NULL; had++)
        memset(block, 0x5a, BLOCK_BYTES);
    lab_ok(had >= least, "%zu blocks of 1 MiB were had and written to, of %zu at least", had, least);
    return 0;
}
