#!/usr/bin/env bash
# Proves the gate beside a neighbour: a process on every core that takes it for random milliseconds.
#
#   benches/gate/neighbour.sh BASE SLOW 10 > results/reference/gate-neighbour.md    # about 35 minutes
#
# BASE and SLOW are executables of one commit. SLOW has benches/gate/sleep.patch: it waits 2 ms before each
# answer from the cache. Build both before; nothing is built here:
#
#   cargo build --profile dist --locked && cp target/dist/mintbench /tmp/base
#   git apply benches/gate/sleep.patch && cargo build --profile dist --locked && cp target/dist/mintbench /tmp/slow
#   git apply -R benches/gate/sleep.patch
#
# BASE is the judge. It makes 10 gates (or as many as said) of SLOW and of a fresh copy of BASE, with the
# default settings and with those of the bug report: few pairs, a low rate, a wide limit. SLOW has to fail in
# all of them, the copy in none. Each gate is one line of LOG.
# Exit code: 0 when that holds, 1 when not, 2 when it could not be tried.
#
# SHARE is the part of each core that the neighbour takes.
set -euo pipefail

die() {
    echo "error: $*" >&2
    exit 2
}

(($# >= 2)) || die "usage: neighbour.sh BASE SLOW [GATES]"
base=$(realpath "$1") slow=$(realpath "$2") gates=${3:-10}
cd "$(dirname "$0")/../.."
share=${SHARE:-0.3}
log=${LOG:-target/gate-neighbour.jsonl}
report="--limit 60% --tolerance 40% --rate 300 --vms 10 --pairs 6 --pairs-max 6 --duration 1s --warmup 200ms"
for build in "$base" "$slow"; do
    [[ $("$build" --version) == mintbench* ]] || die "$build is not a mintbench"
done
! cmp --silent "$base" "$slow" || die "BASE and SLOW are the same build"
mkdir -p "$(dirname "$log")"
: >"$log"

scratch=$(mktemp -d)
neighbours=()
finish() {
    ((${#neighbours[@]} == 0)) || kill "${neighbours[@]}" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT
for core in $(python3 -c 'import os; print(*os.sched_getaffinity(0))'); do
    python3 benches/gate/neighbour.py "$core" "$share" &
    neighbours+=($!)
done

run_gate() { # settings, their flags, kind of candidate, candidate, number
    local settings=$1 flags kind=$3 candidate=$4 number=$5 code=0
    read -ra flags <<<"$2"
    timeout 900 "$base" gate --base "$base" --candidate "$candidate" --seed $((number * 1000)) --json \
        ${flags[@]+"${flags[@]}"} >"$scratch/gate.json" || code=$?
    ((code == 0 || code == 1 || code == 3 || code == 4)) || die "a gate ended with $code"
    [[ -s $scratch/gate.json ]] || die "a gate has no result"
    python3 benches/gate/table.py beside "$scratch/gate.json" "$settings" "$kind" "$number" "$code" >>"$log"
    echo "$settings, $kind, $number of $gates: exit $code" >&2
}

for ((number = 1; number <= gates; number++)); do
    # A copy of its own for each gate: it lies in the page cache in another way.
    cp "$base" "$scratch/copy-$number"
    for settings in default report; do
        flags=
        [[ $settings == default ]] || flags=$report
        run_gate "$settings" "$flags" slow "$slow" "$number"
        run_gate "$settings" "$flags" copy "$scratch/copy-$number" "$number"
    done
    rm "$scratch/copy-$number"
done
python3 benches/gate/table.py neighbour "$log" "$gates" "$share" "$report"
