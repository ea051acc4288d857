/*
 * heap: doc/protocols.md section 14, one piece, that heap 1 has first and heap 2 next.
 *
 * The piece has BLOCKS blocks out.  Its holder has laid all but one of them, and counts those when it closes the piece: it pins
 * the piece, writes where it ends, and leaves.  Two threads free one each, perhaps late: pin, mark, leave.  Where that leaves one
 * block, the piece of a general heap is parked.  A fourth takes up such a piece in a call on the heap, and leaves it later.  A fifth
 * ends heap 1, while no call on it is under way.  Before the holder leaves, it frees a block of its own without a pin, between two
 * stores to a flag that the end looks at: where the flag is set, the piece is left to the holder.  A sixth claims the piece for heap 2 once its units are free, wipes the marks, and
 * lays and frees one block of its own.
 *
 * Checked: the piece is given back once for each heap; no mark is made but in the marks of the heap that was pinned; heap 1's
 * memory is put up once, and nobody touches it afterwards; what is dropped is not counted.
 * With MARK_FIRST (marked before it is pinned), END_ANYHOW (ended and given back though it is pinned), DROP_FIRST (a piece is taken off
 * the heap's use before it is given back), END_UNHELD (the end does not count itself in), NO_BIAS (frees can empty a piece that is held),
 * TAKE_BARE (they can empty one that is taken up), LEAVE_BARE (a holder that leaves does not pin), END_BLIND (the end does not look
 * at the flag) or LEFT_ALONE (the holder does not look whether a piece was left to it) one of these fails.
 */
#define BLOCKS 2
#define BIAS 4
#define NONE 0
#define HELD 1
#define CLOSED 2
#define ENDED 3
#define PARKED 4
#define LEFT 5
#define OPENS_AT 1

byte state = HELD, pins = 0, tenant = 1;
#ifdef NO_BIAS
byte count = 1;
#else
byte count = BIAS + 1;
#endif
byte laid = BLOCKS - 1; /* the first block was counted when another thread parked the piece */
byte out = BLOCKS;     /* blocks of heap 1 that are not freed */
bool is_free = false; /* the piece is free in its page */
byte given[3];         /* times that a heap's piece was given back */
byte marks = 0;        /* blocks marked as freed, of the heap that has the piece */
byte use = 1;          /* of heap 1 */
bool end_mark = false;
byte put_up = 0;       /* times that heap 1's memory was put up */
bool frees = false;    /* the holder frees a block of its own */
byte calls = 0;        /* on heap 1 */
byte done = 0;

inline touch_heap()
{
    assert(put_up == 0)
}

inline take_off(heap)
{
    if
    :: heap == 1 ->
        atomic { touch_heap(); use--; last = (use == 0 && end_mark) }
        if
        :: last -> atomic { touch_heap(); put_up++ }
        :: else
        fi
    :: else
    fi
}

/* By the thread whose step made the piece none. */
inline give_back(heap)
{
#ifdef DROP_FIRST
    take_off(heap);
#endif
    if
    :: heap == 1 -> touch_heap() /* it reads what the heap is, of which node */
    :: else
    fi;
    atomic { assert(!is_free); is_free = true; given[heap]++ }
#ifndef DROP_FIRST
    take_off(heap)
#endif
}

inline free_block()
{
    own = 0;
    dropped = false;
#ifdef MARK_FIRST
    own = tenant;
    if :: (state == NONE || state == ENDED) -> dropped = true :: else fi;
    if :: !dropped -> atomic { assert(tenant == own && !is_free); marks++ } :: else fi;
#endif
    atomic {
        if
        :: state == NONE || state == ENDED || state == LEFT -> dropped = true
        :: !dropped && tenant != 1 -> dropped = true /* a late one, which frees what is there: guarantee 4 */
        :: else -> if :: !dropped -> pins++; own = tenant :: else fi
        fi
    }
    if
    :: !dropped ->
#ifndef MARK_FIRST
        atomic { assert(tenant == own && !is_free); marks++ }
#endif
        atomic {
            pins--;
            count--;
            if :: own == 1 -> out-- :: else fi;
            last = (pins == 0 && (state == ENDED || (state != LEFT && count == 0)));
            if
            :: !last && state == CLOSED && count <= OPENS_AT && count > 0 -> state = PARKED
            :: else
            fi;
            if :: last -> assert(state == ENDED || out == 0); state = NONE :: else fi
        }
        if
        :: last -> give_back(own)
        :: else
        fi
    :: else
    fi
}

active [BLOCKS] proctype freer()
{
    byte own;
    bool last, dropped;
    free_block();
    done++
}

/* Of a piece that was left to its holder: once, by either. */
inline end_left()
{
    atomic {
        if
        :: state == LEFT && tenant == 1 ->
            last = (pins == 0);
            if :: last -> state = NONE :: else -> state = ENDED fi
        :: else
        fi
    }
}

/* Frees a block of its own. */
inline free_own()
{
    frees = true;
    if
    :: !end_mark && state == HELD && tenant == 1 -> atomic { assert(tenant == 1 && !is_free) } /* marks it */
    :: else
    fi;
    frees = false;
#ifndef LEFT_ALONE
    if
    :: end_mark -> end_left()
    :: else
    fi;
#endif
    if
    :: last -> give_back(1); last = false
    :: else
    fi
}

/* Lays no more blocks, and closes the piece, or finds that it is gone. */
inline leave(lacks)
{
    atomic {
        held = (state == HELD && tenant == 1);
#ifndef LEAVE_BARE
        if :: held -> pins++ :: else fi
#endif
    }
    if
    :: held ->
        atomic { assert(tenant == 1 && !is_free) } /* writes where it ends */
        atomic {
#ifndef LEAVE_BARE
            pins--;
#endif
            if
            :: state == ENDED -> last = (pins == 0)
            :: state == HELD && tenant == 1 ->
#ifdef NO_BIAS
                count = count + lacks;
#else
                count = count + lacks - BIAS;
#endif
                state = CLOSED;
                last = (pins == 0 && count == 0)
            :: else
            fi;
            if :: last -> state = NONE :: else fi
        }
    :: else
    fi;
    if
    :: last -> give_back(1)
    :: else
    fi
}

active proctype taker()
{
    bool last = false, held = false, took = false;
    if
    :: atomic {
        state == PARKED && tenant == 1 && !end_mark -> state = HELD; calls++; took = true;
#ifndef TAKE_BARE
        count = count + BIAS
#endif
    }
    :: done >= BLOCKS
    fi;
    if
    :: took ->
        atomic { assert(tenant == 1 && !is_free && state == HELD) } /* lays blocks there */
        calls--;
        leave(0)
    :: else
    fi;
    done++
}

active proctype holder()
{
    bool last = false, held = false;
    free_own();
    leave(laid);
    done++
}

active proctype ender()
{
    bool last = false, took = false, busy = false;
    atomic {
        calls == 0;
        touch_heap();
        end_mark = true;
#ifndef END_UNHELD
        use++
#endif
    }
    touch_heap(); /* reads its table */
#ifndef END_BLIND
    busy = frees;
#endif
    atomic {
        if
        :: tenant == 1 && (state == HELD || state == CLOSED || state == PARKED) ->
#ifdef END_ANYHOW
            state = NONE;
            took = true
#else
            if
            :: state == HELD && busy -> state = LEFT
            :: !(state == HELD && busy) && pins == 0 -> state = NONE; took = true; busy = false
            :: !(state == HELD && busy) && pins != 0 -> state = ENDED; busy = false
            fi
#endif
        :: else -> busy = false
        fi
    }
    if
    :: busy && !frees -> end_left(); took = last /* what the holder stored is seen by now */
    :: else
    fi;
    if
    :: took -> give_back(1)
    :: else
    fi;
    touch_heap(); /* and gives it back */
#ifndef END_UNHELD
    take_off(1);
#endif
    done++
}

active proctype claimer()
{
    byte own;
    bool last, dropped;
    if
    :: atomic { is_free -> is_free = false }
        assert(state == NONE && pins == 0);
        tenant = 2;
        marks = 0;
        count = 1;
        state = CLOSED; /* one block, laid and counted at once */
        atomic { assert(pins == 0 && marks == 0 && count == 1); pins++ }
        atomic { assert(tenant == 2); marks++ }
        assert(marks == 1);
        atomic { pins--; count--; assert(pins == 0 && count == 0 && state == CLOSED); state = NONE }
        give_back(2)
    :: done == BLOCKS + 3
    fi;
    done++
}

active proctype after()
{
    (done == BLOCKS + 4) ->
    assert(given[1] == 1 && given[2] <= 1);
    assert(state == NONE && is_free && pins == 0);
    assert(put_up == 1 && use == 0)
}
