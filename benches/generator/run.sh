#!/usr/bin/env bash
# Load generators on one core beside each other: the highest rate, processor time per request, and what
# each reports at 20,000 requests/s beside the server's own record. Prints Markdown:
#
#   benches/generator/run.sh [rounds] > results/reference/generator.md
#
# Exits 1 when mintbench fails, or calls none of its rounds valid.
#
# Rounds are interleaved, forth and back in turn, and figures are medians of them.
#
#   SECONDS_EACH=5    of load for each run
#   RATE=20000        requests per second of the second table
#   TOOLS, WRK, WRK2, OHA, VEGETA, GOOSE, MINTBENCH, TRUTH   as for benches/truth/run.sh
#   FLOOR=FILE                                              `examples/floor.rs`, the raw loop
#
# Needs python3, taskset and two processors.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
[[ -n ${TRUTH:-} ]] || cargo build --profile dist --quiet --package truth
[[ -n ${FLOOR:-} ]] || cargo build --profile dist --quiet --example floor
[[ -n ${GOOSE:-} ]] || cargo build --profile dist --quiet -p loadtests --bin goose_get
exec python3 -B benches/generator/generator.py "${1:-5}"
