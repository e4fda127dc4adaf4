#!/usr/bin/env bash
# A world of 100,000 VMs and 300,000 user-assigned identities, kept in a folder: how long it takes to
# load and to start again, what it weighs, how soon an assignment is acknowledged while the identity
# endpoint is under load, and whether that load notices. Prints Markdown.
#
#   benches/fleet.sh [pairs] > results/reference/fleet.md
#
# The broker runs on core 0, load and writer on core 1. Runs with and without a writer are interleaved
# (A B B A), and a ratio is taken within its pair. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=${1:-6}
work=$(mktemp -d)
serve=
trap 'kill -9 $serve 2>/dev/null || true; rm -rf "$work"' EXIT

[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
bin=${MINTBENCH:-target/dist/mintbench}
vms=${VMS:-100000}
shape="vms=$vms,user-assigned=3"
identities=$((vms * 4))

# Starts the broker on the folder; prints the seconds until it was ready.
start() {
    local before after
    before=$(date +%s%N)
    "$bin" serve --data "$work/data" --synthetic "$shape" --cpus 0 --arm-auth off \
        --imds 127.0.0.1:0 --sts 127.0.0.1:0 --arm 127.0.0.1:0 --vault 127.0.0.1:0 --admin 127.0.0.1:0 \
        > "$work/serve" 2> "$work/serve.err" &
    serve=$!
    until grep -q '^ready' "$work/serve"; do
        kill -0 "$serve"
        sleep 0.01
    done
    after=$(date +%s%N)
    seconds=$(((after - before) / 1000000))
    resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$serve/status")
}

url() { awk -v name="$1" '$1 == name { print $2 }' "$work/serve"; }

start
load_ms=$seconds load_kb=$resident
for round in 1 2 3; do
    kill -9 "$serve"
    wait "$serve" 2>/dev/null || true
    start
    echo "$seconds $resident" >> "$work/restarts"
done
bytes=$(stat -c %s "$work/data/world.redb")

measure() {
    local code=0
    taskset -c 1 "$bin" run --target "$(url imds)" --vms 1000 --user-assigned 0 --rate 2000 \
        --warmup 3s --duration 10s --threads 1 --strict --json --out "$work/run" > "$work/run.json" 2> /dev/null || code=$?
    ((code == 0 || code == 4))
    rm -rf "$work/run"
    python3 -c 'import json, sys
run = json.load(open(sys.argv[1]))
assert run["classes"].keys() == {"all"}, "failed requests in a comparison"
c = run["classes"]["all"]
print(*(c["response_us"][name]["value"] for name in ("p50", "p99")), int(run["validity"]["valid"]))' "$work/run.json"
}

for pair in $(seq "$pairs"); do
    order="quiet written"
    ((pair % 2)) || order="written quiet"
    for side in $order; do
        if [[ $side == written ]]; then
            # Behind the generator on their core: the writer must not make it late.
            nice -n 19 python3 benches/assign.py "$(url arm)" "$vms" "$work/acks" &
            writer=$!
        fi
        echo "$pair $side $(measure)" >> "$work/runs"
        if [[ $side == written ]]; then
            kill -TERM "$writer"
            wait "$writer"
        fi
    done
done
python3 benches/fleet.py "$work" "$load_ms" "$load_kb" "$bytes" "$identities"
