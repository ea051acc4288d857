#!/bin/sh
# The metrics of all arenas: as text, as an answer to a request, by the socket of systemd, read by Prometheus; the
# alerts and the dashboard that come with them.
#
# $srcdir and $top_builddir as Automake sets them.  Promtool, Prometheus and systemd are passed over where they
# are not.
set -u
. "${srcdir:-.}/tests/units/machine.sh"
library=$build/.libs/libholdfast.so.0
files=$sources/tools/exporter
[ -w /dev/shm ] || { echo "$name: /dev/shm is not writable: nothing can be looked at"; exit 77; }

# --- all processes, in one text ---
cp "$(command -v sleep)" "$work/exported"
for size in 16M 24M; do
    HOLDFAST_ARENA=$size HOLDFAST_BACKING=4k HOLDFAST_LOCK=no HOLDFAST_SLO=1ms LD_PRELOAD=$library "$work/exported" 60 &
    children="$children $!"
    last=$!
done
shows() { "$holdfast" stat "$1" > /dev/null 2>&1; }
for child in $children; do until_true shows "$child" || fail "a process shows nothing"; done
for format in openmetrics prometheus; do
    expect 0 'process="exported"' stat --all --format $format
    for size in 16777216 25165824; do
        grep -q "^holdfast_arena_bytes{.*process=\"exported\".*} $size$" "$work/out" || fail "$format of all: an arena of $size is missing"
    done
    [ -z "$(sed -n 's/^# TYPE \([^ ]*\).*/\1/p' "$work/out" | sort | uniq -d)" ] || fail "$format of all: a family is there twice"
    # each sample stands behind the family it is of
    awk '/^# TYPE/ { family = $3; next } /^#/ { next }
        { name = $1; sub(/\{.*/, "", name); if (index(name, family) != 1) { print; bad = 1 } } END { exit bad }' "$work/out" > "$work/err" ||
        fail "$format of all: samples stand elsewhere"
    cp "$work/out" "$work/$format"
done
tail -1 "$work/openmetrics" | grep -qx '# EOF' && ! grep -q '# EOF' "$work/prometheus" || fail "the end is not that of the format"
expect 0 'holdfast_threads' stat --format prometheus "$last"
expect 2 'HF-E420 stat: metrics alone are printed of all processes' stat --all
expect 2 'HF-E420' stat --all --format openmetrics "$last"
expect 2 'HF-E420' stat --all --format openmetrics --watch 1
expect 2 'HF-E420' stat --http --last
expect 2 'HF-E420' stat --http --all
if command -v promtool > /dev/null; then
    for text in prometheus; do
        promtool check metrics < "$work/$text" > "$work/out" 2> "$work/err" || fail "promtool does not like the metrics"
        [ -s "$work/out" ] || [ -s "$work/err" ] && fail "promtool has something to say of the metrics"
    done
else
    echo "$name: no promtool: neither metrics nor alerts are checked"
fi

# --- a request ---
# answers STATUS REQUEST
answers()
{
    printf "$2" | "$holdfast" stat --http > "$work/out" 2> "$work/err" || fail "stat --http of '$2': exit status $?"
    head -1 "$work/out" | tr -d '\r' | grep -qx "HTTP/1.1 $1" || fail "stat --http of '$2': is not answered by $1"
    # a body of the length that is said, behind an empty line
    awk -v RS='\r\n' '/^Content-Length: / { said = $2 } $0 == "" { exit } { head += length($0) + 2 } END { print head + 2 + said }' "$work/out" > "$work/whole"
    grep -qx "$(wc -c < "$work/out")" "$work/whole" || [ "${2#HEAD}" != "$2" ] || fail "stat --http of '$2': the length is not what was said"
}
answers '200 OK' 'GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n'
grep -q '^Content-Type: text/plain; version=0.0.4' "$work/out" && grep -q 'process="exported"' "$work/out" || fail "stat --http: no metrics"
answers '200 OK' 'GET / HTTP/1.0\n\n'
answers '200 OK' 'GET /metrics?x=1 HTTP/1.1\r\naccept: text/html, application/openmetrics-text; version=1.0.0;q=0.5\r\n\r\n'
grep -q '^Content-Type: application/openmetrics-text; version=1.0.0' "$work/out" && tail -1 "$work/out" | grep -qx '# EOF' || fail "stat --http: no OpenMetrics"
answers '200 OK' 'HEAD /metrics HTTP/1.1\r\n\r\n'
! grep -q holdfast_ "$work/out" || fail "stat --http: HEAD has a body"
answers '404 Not Found' 'GET /etc/passwd HTTP/1.1\r\n\r\n'
answers '405 Method Not Allowed' 'POST /metrics HTTP/1.1\r\n\r\n'
for request in '' 'nonsense\r\n\r\n' 'GET /metrics\r\n\r\n' 'GET /metrics FTP/1.1\r\n\r\n' 'GET /metrics HTTP/1.1\r\n' 'GET /\000 HTTP/1.1\r\n\r\n' '\377\376\r\n\r\n'; do
    answers '400 Bad Request' "$request"
done
{ printf 'GET / HTTP/1.1\r\n'; head -c 20000 /dev/zero | tr '\0' x; } > "$work/long"
"$holdfast" stat --http < "$work/long" 2> "$work/err" | head -1 > "$work/out"
grep -q '^HTTP/1.1 431 ' "$work/out" || fail "stat --http: a head without end"

# --- the alerts, and what the dashboard asks for ---
sed -n 's/^\.It Li \(holdfast_[a-z_]*\)$/\1/p' "$sources/man/holdfast-inspect.5" | sort > "$work/families"
grep -oh 'holdfast_[a-z_]*' "$files/holdfast.rules.yml" "$files/holdfast-dashboard.json" | sed 's/_bucket$//; s/_total$//' | sort -u | while read -r metric; do
    grep -qx "$metric" "$work/families" || echo "$metric"
done > "$work/out"
[ ! -s "$work/out" ] || fail "alerts or dashboard name what there is not"
if command -v jq > /dev/null; then
    jq -e '[.panels[] | .id] | length == (unique | length)' "$files/holdfast-dashboard.json" > /dev/null || fail "the dashboard is no JSON, or two panels have a number"
    jq -r '.panels[].targets[].expr' "$files/holdfast-dashboard.json" | sed 's/\$instance/.*/g; s/\$process/.*/g; s/\$__rate_interval/1m/g; s/\$__range/5m/g' > "$work/queries"
    [ "$(wc -l < "$work/queries")" -ge 20 ] || fail "the dashboard has few queries"
fi
if command -v promtool > /dev/null; then
    cp "$files/holdfast.rules.yml" "$sources/tests/exporter-rules.yml" "$work/"
    promtool check rules "$work/holdfast.rules.yml" > "$work/out" 2>&1 || fail "promtool check rules"
    promtool test rules "$work/exporter-rules.yml" > "$work/out" 2>&1 || fail "promtool test rules"
fi

# --- by a socket of systemd ---
boot_machine
cp "$files/holdfast-exporter.socket" "$work/shared/"
sed 's,@bindir@,/usr/local/bin,' "$files/holdfast-exporter.service.in" > "$work/shared/holdfast-exporter@.service"
inside sh -c "cp $work/shared/holdfast-exporter* /etc/systemd/system/ && systemctl daemon-reload" || fail "the units cannot be installed"
inside systemd-analyze verify --man=no /etc/systemd/system/holdfast-exporter.socket > "$work/out" 2>&1
grep holdfast-exporter "$work/out" > "$work/err" && fail "systemd does not understand the units"
inside systemctl start holdfast-exporter.socket || fail "the socket cannot be opened"
start_arena()
{
    inside systemctl reset-failed
    inside systemd-run --quiet --unit=arena --uid=65534 \
        -p Environment='LD_PRELOAD=/usr/local/lib/libholdfast.so.0 HOLDFAST_ARENA=32M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no' sleep 60
}
start_arena
cat > "$work/shared/scrape" << 'EOF'
import socket, sys
# as a client that has sent all and waits
connection = socket.create_connection(("127.0.0.1", 9756))
connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
answer = b""
while got := connection.recv(65536):
    answer += got
sys.stdout.buffer.write(answer)
EOF
scraped() { inside python3 "$work/shared/scrape" > "$work/out" 2> "$work/err" && grep -q '^holdfast_arena_bytes{.*} 33554432' "$work/out"; }
if inside sh -c 'command -v python3' > /dev/null; then
    until_true scraped || fail "the socket does not answer with the arena of another user"
    grep -q '^holdfast_live_bytes' "$work/out" || fail "the exporter's unit does not let it count live blocks"
    # It keeps what another user's killed process left, which --last then shows.
    killed=$(inside systemctl show -P MainPID arena)
    inside systemctl kill --signal=KILL arena
    is_kept() { inside python3 "$work/shared/scrape" > "$work/out" 2> "$work/err"; inside sh -c "ls /dev/shm/holdfast-last.$killed.*" > /dev/null 2>&1; }
    until_true is_kept || fail "the exporter's unit does not let it keep what a killed process left"
    start_arena
    until_true scraped || fail "the socket does not answer any more"
fi

# --- by Prometheus ---
if ! inside sh -c 'command -v prometheus promtool' > /dev/null; then
    echo "$name: no prometheus: nothing scrapes"
    exit "$failed"
fi
cat > "$work/shared/prometheus.yml" << EOF
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [$work/shared/holdfast.rules.yml]
scrape_configs:
  - job_name: holdfast
    static_configs: [{ targets: ['127.0.0.1:9756'] }]
EOF
cp "$files/holdfast.rules.yml" "$work/shared/"
inside promtool check config "$work/shared/prometheus.yml" > "$work/out" 2>&1 || fail "promtool check config"
inside prometheus --config.file="$work/shared/prometheus.yml" --storage.tsdb.path=/run/prometheus --web.listen-address=127.0.0.1:9790 > "$work/prometheus.log" 2>&1 &
ask() { inside promtool query instant http://127.0.0.1:9790 "$1" > "$work/out" 2> "$work/err"; }
knows() { ask "$1" && grep -q "$2" "$work/out"; }
until_true knows 'up{job="holdfast"}' '=> 1' || fail "Prometheus cannot read the metrics"
until_true knows 'holdfast_arena_bytes{process="sleep"}' '=> 33554432' || fail "Prometheus does not know the arena"
knows 'sum(holdfast_slow_path_seconds_count) >= bool 0' '=> 1' || fail "Prometheus does not know the histogram"
while read -r query; do
    ask "$query" || fail "the dashboard asks what Prometheus does not understand: $query"
done < "$work/queries"
ask 'sum(scrape_samples_scraped)' && ! grep -q '=> 0 ' "$work/out" || fail "Prometheus took no samples"

exit "$failed"
