/*
 * page: doc/protocols.md sections 1 to 3, one page of BLOCKS blocks, all handed out at first and owned by its theap.
 *
 * The owner frees one or none itself and lets go; two threads free one each, by a CAS on the word; a fourth takes the idle
 * bit, wins the page, collects, frees one or none, and lets go again, twice.  The word holds OPEN, LISTED, remaining and count as xfree.h does.
 *
 * Checked: one owner at a time; blocks out, freed and waiting add up whenever a page changes hands; every page that is
 * empty is retired, once; a page with room that nobody owns is in the idle set at the end.
 * With LIST_FIRST (listed before it is open) or SPLIT_PUSH (a push that is not one step) one of these fails.
 */
#define BLOCKS 4
#define OPEN(w) ((w) & 1)
#define LISTED(w) (((w) >> 1) & 1)
#define REMAINING(w) (((w) >> 2) & 7)
#define COUNT(w) (((w) >> 5) & 7)
#define WORD(open, listed, remaining, count) ((open) | (listed) << 1 | (remaining) << 2 | (count) << 5)

byte word = 0;         /* owned, nothing waits */
byte used = BLOCKS;    /* the owner's field: out, those that wait in the word included */
bool idle_bit = false;
byte owners = 1;       /* how many think they own the page */
byte retired = 0;
byte mine = BLOCKS - 2; /* out, and freed by whoever owns the page, not by the two freers */
byte freed = 0;        /* blocks freed in truth */
byte ended = 0;

inline win()
{
    owners++;
    assert(owners == 1 && retired == 0)
}

inline retire()
{
    atomic {
        assert(owners == 1 && freed == BLOCKS);
        owners--;
        retired++;
        word = 0
    }
}

/* By whoever owns the page. */
inline let_go()
{
    w = word;
    do
    :: true ->
        if
        :: used - COUNT(w) == 0 -> retire(); break
        :: else
        fi;
        next = WORD(1, (used < BLOCKS || COUNT(w) > 0 -> 1 : 0), used - COUNT(w), COUNT(w));
#ifdef LIST_FIRST
        if :: LISTED(next) -> idle_bit = true :: else fi;
#endif
        if
        :: atomic { word == w -> word = next; owners-- }
#ifndef LIST_FIRST
            if :: LISTED(next) -> idle_bit = true :: else fi;
#endif
            break
        :: atomic { else -> w = word }
        fi
    od
}

inline remote_free()
{
    w = word;
    do
    :: true ->
        if
        :: !OPEN(w) -> next = WORD(0, 0, 0, COUNT(w) + 1)
        :: OPEN(w) && REMAINING(w) == 1 -> next = WORD(0, 0, 0, COUNT(w) + 1)
        :: else -> next = WORD(1, 1, REMAINING(w) - 1, COUNT(w) + 1)
        fi;
        if
#ifdef SPLIT_PUSH
        :: true ->
            freed++;
            word = next;
#else
        :: atomic { word == w -> word = next; freed++; if :: OPEN(w) && REMAINING(w) == 1 -> win() :: else fi }
#endif
            break
        :: atomic { word != w -> w = word }
        fi
    od;
    if
    :: OPEN(w) && REMAINING(w) == 1 -> idle_bit = false; retire()
    :: OPEN(w) && REMAINING(w) > 1 && !LISTED(w) -> idle_bit = true
    :: else
    fi
}

active proctype owner()
{
    byte w, next;
    if
    :: used--; mine--; freed++
    :: skip
    fi;
    let_go();
    ended++
}

active [2] proctype freer()
{
    byte w, next;
    remote_free();
    ended++
}

active proctype claimer()
{
    byte w, next, tries = 0;
    bool got;
    do
    :: atomic { idle_bit && tries < 2 -> idle_bit = false }
        tries++;
        got = false;
        w = word;
        do
        :: !OPEN(w) -> break
        :: else ->
            if
            :: atomic { word == w -> word = WORD(0, 0, 0, COUNT(w)); win(); assert(used == REMAINING(w) + COUNT(w)) }
                got = true;
                break
            :: atomic { else -> w = word }
            fi
        od;
        if
        :: got ->
            atomic { used = used - COUNT(word); word = 0 } /* the exchange; `used` is the owner's alone */
            if
            :: mine > 0 -> used--; mine--; freed++ /* frees one itself */
            :: true
            fi;
            let_go()
        :: else
        fi
    :: ended == 3 -> break
    od;
    ended++
}

active proctype after()
{
    (ended == 4) ->
    assert(freed == BLOCKS -> retired == 1 : retired == 0);
    assert(retired || (owners == 0 && OPEN(word)));
    assert(retired || !LISTED(word) || idle_bit)
}
