/*
 * early: allocation before main, in constructors, and after it, in atexit handlers.
 */
#include "test.h"

static char *from_constructor;

__attribute__((constructor(101))) static void very_early(void)
{
    from_constructor = malloc(1000);
    memset(from_constructor, 'x', 1000);
}

static void very_late(void)
{
    free(from_constructor);
    free(malloc(10));
}

__attribute__((destructor(101))) static void latest(void)
{
    free(malloc(20));
}

int main(void)
{
    CHECK(from_constructor != NULL && from_constructor[999] == 'x');
    CHECK(atexit(very_late) == 0);
    return 0;
}
