#!/usr/bin/env bash
# Checks the verdicts of mintbench against a queue that records its own answers, with a neighbour that takes
# processors and without. Prints Markdown:
#
#   benches/verdicts/run.sh --runs 120 > results/reference/verdicts.md    # about an hour
#
# A run that is in the log is not made anew: begin again with the same command after an interruption, or with more
# runs. Exits 1 when a verdict was wrong or too few were decided, 2 when it could not be tried.
#
#   --runs N        how many [120]
#   --duration S    seconds of load of each [20]
#   --log FILE      a line of JSON for each run [target/verdicts.jsonl]
#   --table         make no run, print the table of the log
#   MINTBENCH=FILE TRUTH=FILE   binaries instead of those that cargo builds
#
# Needs python3 and two processors: the first is the server's, the last is the generator's.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
[[ -n ${TRUTH:-} ]] || cargo build --profile dist --quiet --example truth
PYTHONPATH=benches/generator exec python3 -B benches/verdicts/verdicts.py "$@"
