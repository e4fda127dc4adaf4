#!/usr/bin/env bash
# How far the model of `mintbench plan` is from runs that it was not fitted to: a mix of hits and mints,
# and a boot storm, predicted and measured, for each algorithm and several seeds. Prints Markdown.
#
#   benches/plan/proof.sh [seeds] > results/reference/plan.md
#
# Exits 1 when any of it is off by 15 % or more, or was not compared.
#
# Takes ten minutes for each seed and algorithm, on a machine where nothing else runs. ALGS names
# the algorithms, SLO the objective (one that the machine itself does not miss: where its speed falls by a
# fifth for a second, a broker at nine tenths of its pace has a queue of 100 ms), KEEP a folder for the
# plans themselves. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-3}
algs=${ALGS:-RS256 ES256}
slo=${SLO:-p99<200ms}
work=${KEEP:-$(mktemp -d)}
[[ -n ${KEEP:-} ]] || trap 'rm -rf "$work"' EXIT

[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
bin=${MINTBENCH:-target/dist/mintbench}
before=$(cut -d' ' -f1-3 /proc/loadavg)
for alg in $algs; do
    for seed in $(seq "$seeds"); do
        # 3, 4 and 5 are results too: the table shows what was compared.
        "$bin" plan --fleet benches/plan/fleet.toml --slo "$slo" --alg "$alg" --seed "$seed" \
            --out "$work/$alg-$seed" ${PLAN_ARGS:-} > /dev/null || [[ $? == [345] ]]
    done
done
python3 benches/plan/table.py "$slo" "$before" "$work"
