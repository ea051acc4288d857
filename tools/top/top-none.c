/*
 * top-none: what stands for the screen where there was no ncurses to build it with.
 */
#include <stdlib.h>

#include "top/top.h"

int top_screen(struct top *top)
{
    hfi_say(SAY_ERROR, "HF-E437", "top",
            "process %ld: this tool was built without ncurses and has no screen; use `holdfast stat`, or "
            "build it "
            "again with libncurses-dev",
            (long)top->target.pid);
    return EXIT_FAILURE;
}
