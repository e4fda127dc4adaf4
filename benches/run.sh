#!/usr/bin/env bash
# Runs every micro-benchmark and prints a Markdown table of what each costs beside what it is
# compared with:
#
#   benches/run.sh > results/reference/micro.md
#
# Every bench is a process of its own. The whole set runs twice, the second time in reverse order, so
# that a machine that slows down or speeds up meanwhile shows as two ratios that differ.
# FILTER=<regex> takes a part. Arguments go to criterion: `benches/run.sh --quick` for a smoke run.
set -euo pipefail
cd "$(dirname "$0")/.."

bench=$(cargo bench --bench micro --no-run --message-format json |
    python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "micro":
        print(message["executable"])')
mapfile -t ids < <("$bench" --bench --list | sed -n 's/: benchmark$//p' | grep -E "${FILTER:-.}")

# The last processor we may use: the first ones take most interrupts.
last_cpu=$(python3 -c 'import os; print(max(os.sched_getaffinity(0)))')

run() { # pass, id
    local pin=(taskset -c "$last_cpu")
    # These need several processors, or as many as there are.
    if [[ $2 =~ threads-[2-9] || $2 == miss/* ]]; then pin=(); fi
    echo "$1 $2" >&2
    "${pin[@]}" "$bench" --bench --exact --noplot --save-baseline "$1" "${@:3}" "$2" >&2
}

rm -rf target/criterion
load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for ((i = 0; i < ${#ids[@]}; i++)); do run forth "${ids[i]}" "$@"; done
for ((i = ${#ids[@]} - 1; i >= 0; i--)); do run back "${ids[i]}" "$@"; done
python3 benches/ratios.py target/criterion "$load_before"
