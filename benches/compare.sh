#!/usr/bin/env bash
# What the broker costs beside a bare hyper server that returns the same bytes, and how fast one core
# generates load beside `wrk -t1`. Prints Markdown.
#
#   benches/compare.sh [rounds] > results/reference/compare.md
#
# Servers run on core 0, generators on core 1. Every figure comes from interleaved runs (A B B A), and a
# ratio is taken within its pair, so that a machine whose speed drifts does not decide it. Needs wrk,
# curl and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-6}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

cargo build --profile dist --quiet --bin mintbench --example floor
bin=target/dist/mintbench
floor=target/dist/examples/floor
path='/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F'

# Starts a server on core 0; sets URL_<name> and PID_<name>.
start() {
    local name=$1 want=$2
    shift 2
    taskset -c 0 "$@" > "$work/$name" &
    local pid=$!
    until grep -q '^ready' "$work/$name"; do sleep 0.05; done
    printf -v "PID_$name" '%s' "$pid"
    printf -v "URL_$name" '%s' "$(awk -v want="$want" '$1 == want { print $2 }' "$work/$name")"
}

start broker imds "$bin" serve --imds 127.0.0.1:0 --sts 127.0.0.1:0 --arm 127.0.0.1:0 --vault 127.0.0.1:0 --admin 127.0.0.1:0
# Twice: the captured answer is a hit, like those it is compared with.
for _ in 1 2; do curl -sS -i -H 'Metadata: true' "$URL_broker$path" -o "$work/response"; done
start hyper floor "$floor" hyper --response "$work/response"
start raw floor "$floor" raw --response "$work/response"

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# Prints the server's CPU microseconds per request at 20,000 requests/s.
cpu_us_per_request() {
    local pid=$1 url=$2 before after
    before=$(cpu_ticks "$pid")
    "$bin" run --target "$url" --rate 20000 --warmup 0s --duration 5s --connections 64 --threads 1 \
        --json --out "$work/run" > "$work/run.json" 2> /dev/null || [ $? -eq 4 ]
    after=$(cpu_ticks "$pid")
    rm -rf "$work/run"
    python3 - "$work/run.json" "$((after - before))" "$(getconf CLK_TCK)" <<'PY'
import json, sys
run, ticks, hertz = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
assert run["classes"].keys() == {"all"}, "failed requests in a comparison"
print(f'{ticks / hertz * 1e6 / run["classes"]["all"]["count"]:.3f}')
PY
}

# Prints the highest rate of our generator: more is asked of it than it can send.
our_rate() {
    "$bin" run --target "$URL_raw" --rate 400000 --warmup 0s --duration 4s --connections 64 --threads 1 \
        --timeout 1s --max-errors 1 --json --out "$work/run" > "$work/run.json" 2> /dev/null || [ $? -eq 4 ]
    rm -rf "$work/run"
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["load"]["rate_answered"])' "$work/run.json"
}

wrk_rate() {
    taskset -c 1 wrk -t1 -c64 -d4s -H 'Metadata: true' "$URL_raw$path" | awk '/Requests\/sec/ { print $2 }'
}

for round in $(seq "$rounds"); do
    order="a b"
    [ $((round % 2)) -eq 0 ] && order="b a"
    for side in $order; do
        case $side in
            a) a=$(cpu_us_per_request "$PID_broker" "$URL_broker"); r=$(our_rate) ;;
            b) b=$(cpu_us_per_request "$PID_hyper" "$URL_hyper"); w=$(wrk_rate) ;;
        esac
    done
    echo "$a $b $r $w" >> "$work/pairs"
done

python3 - "$work/pairs" <<'PY'
import statistics as st, sys
rows = [[float(x) for x in line.split()] for line in open(sys.argv[1])]
def pairs(title, unit, a, b, what_a, what_b):
    ratios = sorted(row[a] / row[b] for row in rows)
    print(f"\n## {title}\n")
    print(f"| round | {what_a}, {unit} | {what_b}, {unit} | ratio |\n|---|---|---|---|")
    for number, row in enumerate(rows, 1):
        print(f"| {number} | {row[a]:.2f} | {row[b]:.2f} | {row[a] / row[b]:.3f} |")
    print(f"\nMedian ratio **{st.median(ratios):.3f}** (lowest {ratios[0]:.3f}, highest {ratios[-1]:.3f}).")
print("# Beside the least it could cost, and beside wrk\n")
print("Built with the profile dist.")
pairs("Server CPU per request at 20,000 requests/s, cache hits", "us", 0, 1, "broker", "bare hyper")
pairs("Highest rate of one generator core against the raw floor server", "1/s", 2, 3, "mintbench run", "wrk -t1")
PY
