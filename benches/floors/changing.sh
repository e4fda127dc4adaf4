#!/usr/bin/env bash
# Response times of hits while the world changes, and while tokens are renewed, beside those of a quiet broker. Prints
# Markdown:
#
#   benches/floors/changing.sh > results/reference/changing.md    # about 10 minutes
#
# The broker runs on the first processor, the generator on the last: changes and renewals compete with hits for one
# core. The writer of the changes runs behind the generator (SCHED_IDLE), so that it does not make the generator late.
# The two sides of a pair are measured one after the other, in either order. A ratio is of two runs of one pair.
#
# A run that is in its log is not made anew: begin again with the same command after an interruption.
#
#   --rounds N    pairs [12]
#   --seconds S   of load for each run [8]
#   --rate R      hits a second [2000]
#   --world SHAPE of the broker whose world changes [vms=100000,user-assigned=3]
#   --log FILE    a line of JSON for each run; those of another build are passed over [target/changing.jsonl]
#   --table       make no run, print the table of the log
#   MINTBENCH=FILE   a program, instead of the one that cargo builds
#
# Needs python3, taskset, chrt and two processors.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ! " $* " =~ " "(--table|--help|-h)" " ]]; then
    [[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
fi
PYTHONPATH=benches/generator:benches/verdicts exec python3 -B benches/floors/changing.py "$@"
