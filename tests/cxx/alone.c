/*
 * alone: calls operator new in a process without a C++ runtime.
 */
#include <stddef.h>

void *_Znwm(size_t bytes);
void _ZdlPvm(void *pointer, size_t bytes);

int main(void)
{
    _ZdlPvm(_Znwm(100), 100);
    _Znwm((size_t)1 << 60);
    return 0;
}
