#!/usr/bin/env bash
# Draws where the time of a request goes, as a flame graph:
#
#   benches/floors/flame.sh hit > docs/images/hit.svg
#   benches/floors/flame.sh mint > docs/images/mint.svg    # a token is signed for each request
#
# With perf: samples of processor time, the kernel's included. Where perf is not allowed, and with COUNT=1: instructions
# of the program, counted by Callgrind.
#
#   MINTBENCH=FILE   a build with names, instead of one that cargo makes with the profile bench
#   ALG=ES256        of the tokens
#   SECONDS_EACH=5   of load
#   INFERNO=DIR      where inferno is installed [target/inferno]
#
# Draws with inferno, which cargo installs below target/ once. Needs python3, taskset, and perf or Valgrind.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ ${1:-} == hit || ${1:-} == mint ]] || {
    echo "usage: flame.sh hit|mint" >&2
    exit 2
}
kind=$1 alg=${ALG:-ES256} seconds=${SECONDS_EACH:-5}
if [[ -z ${MINTBENCH:-} ]]; then
    cargo build --profile bench --quiet --bin mintbench
    MINTBENCH=target/release/mintbench
fi
inferno=${INFERNO:-target/inferno}
[[ -x $inferno/bin/inferno-flamegraph ]] ||
    cargo install --quiet --root "$inferno" --version 0.12.8 --locked --no-default-features --features cli \
        --bin inferno-flamegraph --bin inferno-collapse-perf inferno >&2
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT

target='/metadata/identity/oauth2/token?api-version=2023-07-01&resource=https%3A%2F%2Fmanagement.azure.com%2F'
rate=20000
[[ $kind == hit ]] || { target+='&bypass_cache=true' rate=1000; }

# Starts the server behind the given words; sets pid and url.
start() {
    taskset -c 0 "$@" "$MINTBENCH" serve --workers 1 --mint-lanes 1 --alg "$alg" --imds 127.0.0.1:0 --sts 127.0.0.1:0 \
        --arm 127.0.0.1:0 --vault 127.0.0.1:0 --admin 127.0.0.1:0 >"$work/serve.out" &
    pid=$!
    until grep -qx ready "$work/serve.out"; do
        kill -0 "$pid"
        sleep 0.1
    done
    url=$(sed -n 's/^imds //p' "$work/serve.out")$target
}

load() { # rate, seconds
    local code=0
    "$MINTBENCH" run --target "get+$url" --header 'Metadata: true' --rate "$1" --warmup 0s --pacer-test 0s --duration "$2s" \
        --connections 8 --threads 1 --quiet --out "$work/run" >&2 || code=$?
    rm -rf "$work/run"
    ((code == 0 || code == 4))
}

sampled() {
    start
    load "$rate" 1
    perf record --quiet --freq 997 --event cpu-clock --call-graph dwarf,16384 --pid "$pid" --output "$work/perf.data" >&2 &
    local perf=$!
    until [[ -s $work/perf.data ]]; do sleep 0.1; done
    load "$rate" "$seconds"
    kill -INT "$perf"
    wait "$perf" || true
    perf script --no-inline --input "$work/perf.data" | "$inferno/bin/inferno-collapse-perf"
}

counted() {
    # The names of functions contain those of their callers.
    start valgrind --quiet --tool=callgrind --instr-atstart=no --separate-callers=100 --callgrind-out-file="$work/profile"
    load 20 1
    callgrind_control --instr=on "$pid" >&2
    load 20 "$seconds"
    callgrind_control --dump "$pid" >&2
    python3 -B benches/floors/folded.py "$work"/profile.*
}

if [[ -z ${COUNT:-} ]] && perf record --quiet --event cpu-clock --output "$work/try" true >/dev/null 2>&1; then
    how=sampled unit=nanoseconds
else
    how=counted unit=instructions
fi
$how >"$work/folded"
"$inferno/bin/inferno-flamegraph" --title "$kind, $alg" --countname "$unit" "$work/folded"
