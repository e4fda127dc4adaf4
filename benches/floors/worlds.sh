#!/usr/bin/env bash
# How long a broker takes to load worlds of several sizes, and what each machine weighs. Prints Markdown:
#
#   benches/floors/worlds.sh > results/reference/worlds.md    # about a minute
#   benches/floors/worlds.sh 1000000                          # one size
#
# Each machine has an address and a system-assigned identity. The broker runs on the first processor.
#
#   ROUNDS=N         starts of each size [3]
#   MINTBENCH=FILE   a program, instead of the one that cargo builds
#
# Needs python3 and taskset.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
PYTHONPATH=benches/generator:benches/verdicts exec python3 -B benches/floors/worlds.py "${@:-10000 100000 1000000}"
