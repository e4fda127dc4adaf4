#!/usr/bin/env bash
# Makes plans of one fleet beside a neighbour that takes a processor for 1 to 20 ms at a time, 5 to 30 % of the time.
# Prints Markdown:
#
#   benches/plan/neighbour.sh > results/reference/plan-neighbour.md    # ten plans, less than an hour
#
# Sentence, answer and exit code of each plan must agree. The numbers of nodes may differ by one. The highest rate of
# a mix, which no model was fitted to, must lie in the interval that the plan prints for it, or the plan must say
# that it cannot tell: in nine of ten.
# Exits 1 when one of these does not hold, 2 when it could not be tried.
#
# A plan that is in the log is not made anew: begin again with the same command after an interruption.
#
#   --plans N        how many [10]
#   --slo BOUND      the objective of each [p99<100ms]
#   --log FILE       a line of JSON for each plan [target/plans.jsonl]
#   --table          make no plan, print the table of the log
#   MINTBENCH=FILE   a binary instead of the one that cargo builds
#   PLAN_ARGS="..."  further flags of each plan
#
# Needs python3 and two processors: the first is the broker's, the last is the generator's.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
PYTHONPATH=benches/verdicts:benches/generator exec python3 -B benches/plan/plans.py "$@"
