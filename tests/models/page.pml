/*
 * page: doc/protocols.md sections 1 to 3, one page of BLOCKS blocks, all handed out at first and owned by its theap.
 *
 * The owner frees one or none itself and lets go; two threads free one each, by a CAS on the word, or claim the page
 * and free it as their own (a page that was let go of at its thread's end); a fourth takes the bit of
 * either idle set, claims the page, collects, frees or allocates one or none, and lets go again, twice.  The word holds UNOWNED, IDLE, remaining and count as
 * xfree.h does.  From AMPLE free blocks on an unowned page belongs into the set of the ample, with fewer into that of the scant.
 *
 * Checked: one owner at a time; blocks out, freed and waiting add up whenever a page changes hands; every page that is
 * empty is retired, once; an unowned page with room is in the set for as much room as it has at the end.
 * With ADD_FIRST (added to a set before it is unowned), SPLIT_PUSH (a push that is not one step), REMOVE_LATE (who makes a page ample takes it out of
 * the scant, without owning it) or TAKE_BY_HINT (a page that looks unowned is taken without a CAS) one of these fails.
 */
#define BLOCKS 4
#define AMPLE 2
#define ROOM(w) (BLOCKS - REMAINING(w))
#define UNOWNED(w) ((w) & 1)
#define IDLE(w) (((w) >> 1) & 1)
#define REMAINING(w) (((w) >> 2) & 7)
#define COUNT(w) (((w) >> 5) & 7)
#define WORD(unowned, idle, remaining, count) ((unowned) | (idle) << 1 | (remaining) << 2 | (count) << 5)

byte word = 0;         /* owned, nothing waits */
byte used = BLOCKS;    /* the owner's field: out, those that wait in the word included */
bool scant_bit = false, ample_bit = false;
byte owners = 1;       /* how many think they own the page */
byte retired = 0;
byte mine = BLOCKS - 2; /* out, and freed by whoever owns the page, not by the two freers */
byte freed = 0;        /* blocks freed in truth */
byte ended = 0;

inline claim()
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

inline add(room)
{
    if
    :: room >= AMPLE -> ample_bit = true
    :: room < AMPLE -> scant_bit = true
    fi
}

/* Whoever has claimed an idle page. */
inline remove()
{
    ample_bit = false;
    scant_bit = false
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
#ifdef ADD_FIRST
        if :: IDLE(next) -> add(ROOM(next)) :: else fi;
#endif
        if
        :: atomic { word == w -> word = next; owners-- }
#ifndef ADD_FIRST
            if :: IDLE(next) -> add(ROOM(next)) :: else fi;
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
        :: !UNOWNED(w) -> next = WORD(0, 0, 0, COUNT(w) + 1)
        :: UNOWNED(w) && REMAINING(w) == 1 -> next = WORD(0, 0, 0, COUNT(w) + 1)
        :: else -> next = WORD(1, 1, REMAINING(w) - 1, COUNT(w) + 1)
        fi;
        if
#ifdef SPLIT_PUSH
        :: true ->
            freed++;
            word = next;
#else
        :: atomic { word == w -> word = next; freed++; if :: UNOWNED(w) && REMAINING(w) == 1 -> claim() :: else fi }
#endif
            break
        :: atomic { word != w -> w = word }
        fi
    od;
    if
    :: UNOWNED(w) && REMAINING(w) == 1 -> remove(); retire()
    :: UNOWNED(w) && REMAINING(w) > 1 && (!IDLE(w) || ROOM(w) + 1 == AMPLE) ->
        add(ROOM(next));
#ifdef REMOVE_LATE
        if :: IDLE(w) -> scant_bit = false :: else fi
#endif
    :: else
    fi
}

inline claim_unowned()
{
    got = false;
    w = word;
    do
    :: !UNOWNED(w) -> break
    :: else ->
        if
#ifdef TAKE_BY_HINT
        :: true -> word = WORD(0, 0, 0, COUNT(w)); claim();
#else
        :: atomic { word == w -> word = WORD(0, 0, 0, COUNT(w)); claim(); assert(used == REMAINING(w) + COUNT(w)) }
#endif
            got = true;
            break
        :: atomic { else -> w = word }
        fi
    od;
    if
    :: got ->
        if :: IDLE(w) -> remove() :: else fi;
        atomic { used = used - COUNT(word); word = 0 } /* the exchange; `used` is the owner's alone */
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
    bool got = false;
    if
    :: claim_unowned()
    :: true
    fi;
    if
    :: got -> used--; freed++; let_go()
    :: else -> remote_free()
    fi;
    ended++
}

active proctype claimer()
{
    byte w, next, tries = 0;
    bool got;
    do
    :: atomic { ample_bit && tries < 2 -> ample_bit = false; tries++ }
        goto claim_it;
    :: atomic { scant_bit && tries < 2 -> scant_bit = false; tries++ }
claim_it:
        claim_unowned();
        if
        :: got ->
            if
            :: mine > 0 -> used--; mine--; freed++ /* frees one itself */
            :: used < BLOCKS -> used++; mine++; freed-- /* allocates one */
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
    assert(retired || (owners == 0 && UNOWNED(word)));
    assert(retired || !IDLE(word) || (ROOM(word) >= AMPLE -> ample_bit : scant_bit))
}
