/*
 * counter-list: what a theap counts on its slow paths, one entry per counter.
 *
 *     COUNTER(name, place, words, metric)
 *
 * `name` is the member of struct counters, of struct hf_inspect_theap and of the tool's sums, and
 * the key in JSON.  `words`, which name the unit, are those of `holdfast stat`.  `place` is where
 * they stand there (enum counter_place in tools/reader/snapshot.h).  `metric` is how OpenMetrics
 * has the count: FAMILY(name, help) for a family of its own, BY_PATH as a sample of holdfast_pages,
 * NO_METRIC not at all.  What came from other nodes is counted by distance, beside these: `away`.
 *
 * A new counter takes an entry here, a COUNTER_ADDED behind those that there are, and its
 * increment; a field of its name where `unused` begins in struct hf_inspect_theap; its row in
 * tools/report/report-slow.c; and its places in holdfast-inspect(5) and holdfast(1).  The compiler
 * and tests/manual.sh say what is missing.  A reader cannot tell such a counter of an older library,
 * which has zero there, from one that counted nothing.
 *
 * Include it with COUNTER defined; it takes the definition back.  COUNTER_ADDED counts came later
 * than the tool's first recordings, whose order is fixed: there they stand at the end.
 */
#ifndef COUNTER_ADDED
#define COUNTER_ADDED COUNTER
#endif

COUNTER(listed, COUNTER_OWN, "blocks for the fast path to hand out",
        FAMILY("blocks_listed", "Blocks put on free lists, for the fast path to hand out."))
COUNTER(collected, COUNTER_WAY, "refills from a page the thread had", NO_METRIC)
COUNTER(claimed, COUNTER_WAY, "idle pages taken over", BY_PATH)
COUNTER(shared, COUNTER_WAY | COUNTER_IF_ANY, "a few blocks of a page that threads share", BY_PATH)
COUNTER(stolen, COUNTER_NODE, "pages taken from sleeping threads", BY_PATH)
COUNTER(lost, COUNTER_UNSEEN, "pages that others took while the thread slept", NO_METRIC)
COUNTER(fresh, COUNTER_WAY, "fresh pages cut into blocks", BY_PATH)
COUNTER(large, COUNTER_WAY, "blocks of whole pages", BY_PATH)
COUNTER(adopted, COUNTER_OWN, "own pages claimed again by freeing", NO_METRIC)
COUNTER(retired, COUNTER_NODE, "pages given back to a node",
        FAMILY("retired_pages", "Runs of pages given back to a node."))
COUNTER(remote_frees, COUNTER_NODE, "blocks freed into other threads' pages",
        FAMILY("remote_frees",
               "Blocks freed into pages that other threads owned, as of each thread's last slow path."))
COUNTER_ADDED(unowned_frees, COUNTER_NODE, "blocks freed into unowned pages",
              FAMILY("unowned_frees", "Blocks freed into unowned pages, as of each thread's last slow path."))
COUNTER(received, COUNTER_UNSEEN, "blocks that others freed into own pages", NO_METRIC)
COUNTER(pressed, COUNTER_CALL | COUNTER_IF_ANY, "application asked to free memory",
        FAMILY("pressure_calls", "Times the application was asked to free memory."))
COUNTER(failed, COUNTER_CALL, "calls that ended in ENOMEM", FAMILY("failures", "Calls that ended in ENOMEM."))

#undef COUNTER
#undef COUNTER_ADDED
