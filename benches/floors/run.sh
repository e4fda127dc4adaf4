#!/usr/bin/env bash
# What a hit of mintbench costs beside servers that do nothing else: nginx, bare hyper and a raw epoll loop, which send
# the bytes of one of its answers. Prints Markdown:
#
#   benches/floors/run.sh > results/reference/floors.md    # about 20 minutes
#   benches/floors/run.sh --keys 1000,10000,100000 --loads 20000 > results/reference/keys.md
#
# All servers run on the first processor, the generator on the last. They are measured in turns, in random order and
# back. A figure is a ratio within a round, so that a machine whose speed drifts does not decide it. Processor time is
# that of all threads of the server, by /proc/PID/task/*/schedstat, over all requests of a run.
#
# A run that is in its log is not made anew: begin again with the same command after an interruption.
#
#   --rounds N        [12]
#   --seconds S       of load for each run [4]
#   --loads NAMES     of 20000, 50000, saturation, and 10000 for times [all]
#   --head NAME       five fields; nine as azure-identity for Python sends; changing: nine with another request id
#                     each time, by wrk, with --loads saturation [five]
#   --generator NAME  of saturation: mintbench or wrk [mintbench]
#   --keys FEW,...    instead: a hit among many keys beside one among few, and a raw loop with as many bodies
#   --workers N       of each server, all on the first processor [1]
#   --seed N          of the order [1]
#   --log FILE        a line of JSON for each run; those of another build are passed over [target/floors.jsonl]
#   --table           make no run, print the tables of the log
#   MINTBENCH=FILE FLOOR=FILE NGINX=FILE WRK=FILE   programs, instead of those that cargo builds and those on the PATH
#
# Needs python3, taskset, two processors and nginx (Debian: nginx-light).
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ! " $* " =~ " "(--table|--help|-h)" " ]]; then
    [[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
    [[ -n ${FLOOR:-} ]] || cargo build --profile dist --quiet --example floor
fi
PYTHONPATH=benches/generator:benches/verdicts exec python3 -B benches/floors/floors.py "$@"
