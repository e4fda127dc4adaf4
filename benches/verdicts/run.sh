#!/usr/bin/env bash
# Checks what mintbench says against a queue that records its own answers, with a neighbour that takes processors and
# without: its verdicts against the record, its undisturbed view against the law of the queue. Prints Markdown:
#
#   benches/verdicts/run.sh > results/reference/verdicts.md    # about two hours and a half
#
# A run that is in its log is not made anew: begin again with the same command after an interruption, or with more
# runs. Exits 1 when a verdict was wrong, too few were decided or something else that is demanded does not hold, and 2
# when it could not be tried.
#
#   --part PART     verdicts, undisturbed or stalls; may be given again [all three]
#   --runs N        how many of each part [120, 80, 20]
#   --duration S    seconds of load of each [20, 30, 60]
#   --logs DIR      folder of verdicts.jsonl, undisturbed.jsonl and stalls.jsonl, a line of JSON for each run, and of
#                   laws.json, the laws that were simulated [target]
#   --table         make no run, print the tables of the logs
#   MINTBENCH=FILE TRUTH=FILE   binaries instead of those that cargo builds
#
# Simulating the laws takes some minutes of one processor, after the runs. Needs python3, taskset and two processors: the
# first is the server's, the last is the generator's.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ! " $* " =~ " "(--table|--help|-h)" " ]]; then
    [[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
    [[ -n ${TRUTH:-} ]] || cargo build --profile dist --quiet --package truth
fi
PYTHONPATH=benches/generator exec python3 -B benches/verdicts/verdicts.py "$@"
