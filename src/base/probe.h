/*
 * probe: places where a tracer can look in (USDT, holdfast(7)).
 *
 * A probe is one nop and a note in the ELF file; a tracer that attaches puts a breakpoint there.
 * Without <sys/sdt.h> at configure there are none.  Slow paths only.
 */
#ifndef HFI_PROBE_H
#define HFI_PROBE_H

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define HFI_PROBE1(name, a) DTRACE_PROBE1(holdfast, name, a)
#define HFI_PROBE2(name, a, b) DTRACE_PROBE2(holdfast, name, a, b)
#define HFI_PROBE3(name, a, b, c) DTRACE_PROBE3(holdfast, name, a, b, c)
#else
#define HFI_PROBE1(name, a) ((void)(a))
#define HFI_PROBE2(name, a, b) ((void)(a), (void)(b))
#define HFI_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
