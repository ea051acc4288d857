/*
 * sqlite-job: a database workload for any malloc.
 *
 * An in-memory SQLite database of `rows` orders is filled, indexed, joined, sorted,
 * aggregated, updated and thinned out; texts are built by group_concat.  Prints the time of
 * each phase, a checksum that must not depend on the allocator, and what the process
 * cost after its start: page faults and time.  The same binary runs under every allocator;
 * nothing here knows of Holdfast.
 *
 * Usage: sqlite-job [ROWS]     (default 2,000,000)
 *
 * The marker line "sqlite-job: begin" is written when main starts: what the kernel was asked
 * for before it belongs to the loader and to the arena's set-up.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t checksum = 14695981039346656037u; /* FNV-1a (Fowler, Noll, Vo 1991) over all results */

static void checksum_add(const char *text)
{
    for (; *text != 0; text++)
        checksum = (checksum ^ (unsigned char)*text) * 1099511628211u;
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(sqlite3 *database, const char *what)
{
    fprintf(stderr, "sqlite-job: %s: %s\n", what, sqlite3_errmsg(database));
    exit(1);
}

static int add_row(void *unused, int columns, char **values, char **names)
{
    (void)unused, (void)names;
    for (int i = 0; i < columns; i++)
        checksum_add(values[i] != NULL ? values[i] : "NULL");
    return 0;
}

static void run(sqlite3 *database, const char *phase, const char *sql)
{
    double begin = now_seconds();
    if (sqlite3_exec(database, sql, add_row, NULL, NULL) != SQLITE_OK)
        fail(database, phase);
    printf("  %-10s %7.3f s\n", phase, now_seconds() - begin);
}

static void fill(sqlite3 *database, long rows)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);"
             "CREATE TABLE item(id INTEGER PRIMARY KEY, customer INTEGER, amount INTEGER, note TEXT);"
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %ld)"
             " INSERT INTO customer SELECT i, 'customer ' || i * 7919, 'city ' || (i * 31 %% 997) FROM n;"
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %ld)"
             " INSERT INTO item SELECT i, i * 2654435761 %% %ld + 1, i * 40503 %% 100003, hex(i * "
             "2654435761) FROM n;",
             rows / 10, rows, rows / 10);
    run(database, "insert", sql);
}

int main(int argc, char **argv)
{
    static const char marker[] = "sqlite-job: begin\n";
    struct rusage before, after;
    sqlite3 *database;
    long rows = argc > 1 ? atol(argv[1]) : 2000000;
    if (rows < 100) {
        fprintf(stderr, "usage: sqlite-job [ROWS], ROWS at least 100\n");
        return 2;
    }
    if (write(STDERR_FILENO, marker, sizeof marker - 1) < 0)
        return 1;
    getrusage(RUSAGE_SELF, &before);
    double begin = now_seconds();
    if (sqlite3_open(":memory:", &database) != SQLITE_OK)
        fail(database, "open");
    fill(database, rows);
    run(database, "index",
        "CREATE INDEX item_customer ON item(customer); CREATE INDEX customer_city ON customer(city);");
    run(database, "join",
        "SELECT city, count(*), sum(amount) FROM item JOIN customer ON customer.id = item.customer GROUP BY "
        "city ORDER BY city;");
    run(database, "sort",
        "SELECT count(*), max(r) FROM (SELECT note || amount AS r FROM item ORDER BY note, amount LIMIT -1 "
        "OFFSET 1);");
    run(database, "text",
        "SELECT customer % 1000, length(group_concat(note, ',')) FROM item GROUP BY 1 ORDER BY 1;");
    run(database, "update",
        "UPDATE item SET note = note || note WHERE id % 3 = 0; DELETE FROM item WHERE id % 5 = 0;");
    run(database, "aggregate", "SELECT count(DISTINCT note), sum(length(note)), avg(amount) FROM item;");
    long long held = sqlite3_memory_used();
    sqlite3_close(database);
    getrusage(RUSAGE_SELF, &after);
    printf("sqlite-job: rows %ld checksum %016" PRIx64
           " sqlite_bytes %lld seconds %.3f minor_faults %ld major_faults %ld\n",
           rows, checksum, held, now_seconds() - begin, after.ru_minflt - before.ru_minflt,
           after.ru_majflt - before.ru_majflt);
    return 0;
}
