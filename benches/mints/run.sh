#!/usr/bin/env bash
# What a mint costs beside OpenSSL's signatures (`openssl speed`), measured in turns on one processor, as Markdown:
#
#   benches/mints/run.sh mints > results/reference/mints.md    # about 4 minutes
#   benches/mints/run.sh herd > results/reference/herd.md      # about 6 minutes
#
# mints: wrk asks for new tokens of 200 identities over 16 connections. Mints are divided by the processor time of the signing
# thread, and by that of the whole process.
#
#   --rounds N    [10]
#   --seconds S   of load for each [3]
#   --algs NAMES  [RS256,ES256]
#
# herd: 8,000 machines ask for a cold token at one instant, and then as many as there are files for, at most 20,000. Beside them
# mintbench asks for warm tokens at 1,000/s, first alone. Each round has a broker of its own with the default settings.
#
#   --rounds N    [8]
#   --alg NAME    [RS256]
#   --kinds NAMES herd: 8,000; crowd: more than the queue holds [herd,crowd]
#   --log FILE    a line of JSON for each round [target/herd.jsonl]
#   --table       make no run, print the tables of the log
#
# The broker has the first processor, the callers have the last. MINTBENCH=FILE is the program [target/dist/mintbench].
# Needs python3, taskset, openssl, wrk and two processors.
set -euo pipefail
cd "$(dirname "$0")/../.."
(($# >= 1)) && [[ -f benches/mints/$1.py ]] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
what=$1
shift
PYTHONPATH=benches/mints:benches/floors:benches/generator:benches/verdicts exec python3 -B "benches/mints/$what.py" "$@"
