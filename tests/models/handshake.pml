/*
 * handshake: doc/protocols.md section 11, one owner and one stealer.
 *
 * The owner's stores go through a store buffer (first in, first out, as on x86; other machines keep what the model
 * needs by release stores); membarrier empties it, and so does the owner's own compare-and-swap.  The owner calls
 * free (fast path: owners[]) or a slow path or magazine (xstate: lists of pages, and of blocks) a few times, then ends; the stealer visits twice.
 *
 * Checked: the stealer never has a page while the owner works on it, nor one that the owner keeps, nor the lists; the theap is recycled once.
 * With NO_BARRIER_1, NO_BARRIER_2 or KEEP_ANYHOW (the owner keeps pages while its lists are seized) one of these fails.
 */
#define LIVE 1
#define SEIZED 2
#define ENDED 3
#define GONE 0

#define CALLS 3
#define VISITS 2

mtype = { BUSY_ON, BUSY_OFF, PAGE_DONE, LISTS_DONE, KEPT };

chan buffer = [8] of { mtype };
bool busy = false;
byte state = LIVE;
bool mine = true;        /* owners[page] names the theap */
bool on_page = false;    /* the owner works on the page, until its last store to it is seen */
bool on_lists = false;
bool kept = false;       /* the owner's free emptied the page, and it is kept: in the owner's hands alone */
bool taken = false;      /* the stealer has taken the page for good */
byte recycled = 0;
byte ended = 0;

inline apply(what)
{
    if
    :: what == BUSY_ON -> busy = true
    :: what == BUSY_OFF -> busy = false
    :: what == PAGE_DONE -> on_page = false
    :: what == LISTS_DONE -> on_lists = false
    :: what == KEPT -> kept = true
    fi
}

inline drain(what)
{
    do
    :: nempty(buffer) -> buffer ? what; apply(what)
    :: empty(buffer) -> break
    od
}

active proctype memory()
{
    mtype what;
end:
    do
    :: atomic { buffer ? what -> apply(what) }
    od
}

active proctype owner()
{
    byte calls = 0;
    mtype what;
    do
    :: calls < CALLS ->
        calls++;
        buffer ! BUSY_ON;
        if
        :: true -> /* free */
            if
            :: atomic { mine -> on_page = true; assert(!taken) }
                if
                :: true -> /* it was the last block: hfi_theap_emptied */
#ifndef KEEP_ANYHOW
                    if
                    :: state == LIVE -> buffer ! KEPT
                    :: else -> skip /* it stays where it is, empty */
                    fi
#else
                    buffer ! KEPT
#endif
                :: true
                fi;
                buffer ! PAGE_DONE
            :: else -> skip /* the path of section 2 */
            fi
        :: true -> /* a slow path that changes the lists */
            if
            :: atomic { state == LIVE -> on_lists = true }
                buffer ! LISTS_DONE
            :: else -> skip /* does without them */
            fi
        fi;
        buffer ! BUSY_OFF
    :: calls == CALLS -> break
    od;
    /* The thread ends. */
    do
    :: atomic { drain(what); if :: state == LIVE -> state = GONE; recycled++; break :: else fi }
    :: atomic { drain(what); if :: state == SEIZED -> state = ENDED; break :: else fi }
    od;
    ended++
}

active proctype stealer()
{
    byte visits = 0;
    mtype what;
    do
    :: visits < VISITS ->
        visits++;
        if
        :: atomic { state == LIVE -> state = SEIZED }
        :: else -> goto next
        fi;
#ifndef NO_BARRIER_1
        atomic { drain(what) }
#endif
        if
        :: busy -> goto give_back
        :: else -> assert(!on_lists)
        fi;
        if
        :: taken || kept -> goto give_back
        :: else -> mine = false
        fi;
        assert(!on_lists);
#ifndef NO_BARRIER_2
        atomic { drain(what) }
#endif
        if
        :: busy -> mine = true
        :: else -> assert(!on_page); assert(!on_lists); assert(!kept);
            if
            :: taken = true
            :: mine = true /* it is full: hfi_theap_settle gives it back */
            fi
        fi;
give_back:
        if
        :: atomic { state == SEIZED -> state = LIVE }
        :: atomic { state == ENDED -> state = GONE; recycled++ }
        fi;
next:   skip
    :: visits == VISITS -> break
    od;
    ended++
}

/* Once both have ended the theap has been recycled exactly once. */
active proctype after()
{
    (ended == 2 && empty(buffer)) -> assert(recycled == 1 && state == GONE)
}
