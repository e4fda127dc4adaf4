#!/usr/bin/env bash
# Proves the gate that counts: equal builds pass, and a little more work for each request fails, beside a neighbour.
#
#   benches/count/run.sh BASE PLANTED 20 > results/reference/count.md    # 20 gates of each kind, about 45 minutes
#
# BASE and PLANTED are executables of one commit and one profile. PLANTED has benches/count/planted.patch: for each
# token its broker goes round a loop as often as the variable COUNT_PROOF says, and for each refusal it makes one
# allocation and one system call in vain. Build both before; nothing is built here:
#
#   cargo build --profile bench --locked && cp target/release/mintbench /tmp/base
#   git apply benches/count/planted.patch && cargo build --profile bench --locked && cp target/release/mintbench /tmp/planted
#   git apply -R benches/count/planted.patch
#
# BASE is the judge. A trial says how many rounds of the loop are 0.5 % of a hit. Then gates of two kinds take turns: a
# fresh copy of BASE, which has to pass, and PLANTED, whose instructions of a hit, allocations of a refusal and system
# calls of a refusal each have to fail. On every core a neighbour takes a share of the time.
#
# Each gate is one line of LOG; an interrupted proof goes on there.
# Exit code: 0 when all that holds, each gate within 90 s, 1 when not, 2 when it could not be tried.
#
# SHARE=0.3 is the part of each core that the neighbour takes; 0 starts none. SLOWER=0.005 is the planted share of
# instructions. GATE_FLAGS are further flags of each gate.
set -euo pipefail

die() {
    echo "error: $*" >&2
    exit 2
}

(($# >= 2)) || die "usage: run.sh BASE PLANTED [GATES]"
base=$(realpath "$1") planted=$(realpath "$2") gates=${3:-20}
cd "$(dirname "$0")/../.."
share=${SHARE:-0.3} slower=${SLOWER:-0.005}
log=${LOG:-target/count-proof.jsonl}
read -ra flags <<<"${GATE_FLAGS:-}"
for build in "$base" "$planted"; do
    [[ $("$build" --version) == mintbench* ]] || die "$build is not a mintbench"
done
! cmp --silent "$base" "$planted" || die "BASE and PLANTED are the same build"
mkdir -p "$(dirname "$log")"
touch "$log"

scratch=$(mktemp -d)
neighbours=()
finish() {
    ((${#neighbours[@]} == 0)) || kill "${neighbours[@]}" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT
if [[ $share != 0 ]]; then
    for core in $(python3 -c 'import os; print(*os.sched_getaffinity(0))'); do
        python3 benches/gate/neighbour.py "$core" "$share" &
        neighbours+=($!)
    done
fi

run_gate() { # candidate, rounds
    code=0
    COUNT_PROOF=$2 timeout 900 "$base" gate --count --base "$base" --candidate "$1" --json \
        ${flags[@]+"${flags[@]}"} >"$scratch/count.json" || code=$?
    ((code == 0 || code == 1 || code == 3)) || die "a gate ended with $code"
    [[ -s $scratch/count.json ]] || die "a gate has no result"
}

rounds_file=$log.rounds
if [[ ! -s $rounds_file ]]; then
    run_gate "$planted" 1000
    python3 benches/count/table.py rounds "$scratch/count.json" "$slower" 1000 >"$scratch/rounds" || die "the trial found no growth"
    mv "$scratch/rounds" "$rounds_file"
fi
rounds=$(<"$rounds_file")
echo "$rounds rounds are $slower of a hit" >&2

for ((number = 1; number <= gates; number++)); do
    for kind in equal planted; do
        ! grep -q "^{\"kind\": \"$kind\", \"number\": $number," "$log" || continue
        candidate=$planted
        [[ $kind == planted ]] || { cp "$base" "$scratch/copy" && candidate=$scratch/copy; }
        start=$(date +%s%N)
        run_gate "$candidate" "$rounds"
        took=$((($(date +%s%N) - start) / 1000000))
        python3 benches/count/table.py line "$scratch/count.json" "$kind" "$number" "$code" "$took" >>"$log"
        echo "$kind $number of $gates: exit $code after $took ms" >&2
    done
done
python3 benches/count/table.py table "$log" "$gates" "$share" "$slower"
