#!/usr/bin/env bash
# Makes the README's first command ten times beside a neighbour, and holds each statement of its result against what
# passed over loopback between the generator and the broker, by the kernel's stamps, and the broker's counters.
# Prints Markdown:
#
#   benches/verdicts/readme.sh 10    # about seven minutes
#
# Exits 1 when an exit code was not 0 or a statement was wrong, 2 when it could not be tried.
#
#   SHARE=0.15       of the time that the neighbour takes, on any processor
#   MINTBENCH=FILE   a binary instead of the one that cargo builds as users do
#
# Needs python3 and the right to record loopback (CAP_NET_RAW).
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -n ${MINTBENCH:-} ]] || cargo build --release --quiet --bin mintbench
PYTHONPATH=benches/generator exec python3 -B benches/verdicts/readme.py "${1:-10}"
