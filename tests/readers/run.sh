#!/usr/bin/env bash
# Reads the files for other tools with programs that are not ours:
#
#   tests/readers/run.sh MINTBENCH
#
# JUnit of a gate with the schema of Jenkins' xUnit plugin (junit-10.xsd, MIT licence, as it is in
# src/main/resources of github.com/jenkinsci/xunit-plugin) and the Python package xmlschema; Markdown of a gate
# and of a run with markdown-it; OpenMetrics of `run --metrics` and `serve` with the parser of Prometheus' own
# Python client. Needs python3, curl, and Python's package index for the first time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/lib.sh
mintbench=$(realpath "${1:?usage: tests/readers/run.sh MINTBENCH}")
python=target/readers/venv/bin/python
if ! command -v curl >/dev/null || ! install_python tests/readers/requirements.txt target/readers; then
    echo "skipped: there is no curl, or the Python packages cannot be installed"
    exit 0
fi
forget_environment
work=$(mktemp -d)
started=()
# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT

# Waits until a file has a line that begins with the word, and prints the rest of that line.
told() {
    local file=$1 word=$2 deadline=$((SECONDS + 60))
    until grep -q "^$word" "$file" 2>/dev/null; do
        ((SECONDS < deadline)) || fail "no line '$word' in $file: $(tail -3 "$file")"
        sleep 0.05
    done
    sed -n "s/^$word *//p" "$file" | head -1
}

# Exit code 4 says that this machine is not fit to measure, and 3 that a gate cannot tell.
any_verdict() {
    local code=0
    "$@" >"$work/said" 2>&1 || code=$?
    ((code == 0 || code == 3 || code == 4)) || fail "exit $code of $*: $(tail -3 "$work/said")"
}

metrics() {
    curl -sf --max-time 20 -H 'Accept: application/openmetrics-text' -D "$work/$1.head" "$2" >"$work/$1.txt"
    grep -qi '^content-type: application/openmetrics-text; version=1.0.0' "$work/$1.head" ||
        fail "$1 is not OpenMetrics: $(cat "$work/$1.head")"
    "$python" -B tests/readers/check.py openmetrics "$work/$1.txt" "$3"
}

# A name with characters that are special in XML and in Markdown.
odd="$work/a&b<c>|d@e_f"
ln -s "$mintbench" "$odd"
any_verdict "$mintbench" gate --base "$odd" --candidate "$mintbench" --rate 200 --duration 300ms --warmup 200ms \
    --vms 5 --user-assigned 1 --pairs 2 --pairs-max 2 --metrics cpu,hit.p99 \
    --out "$work/gate" --junit "$work/gate.xml" --markdown "$work/gate.md"
"$python" -B tests/readers/check.py junit tests/readers/junit-10.xsd "$work/gate.xml"
"$python" -B tests/readers/check.py markdown "$work/gate.md" 'a&b<c>|d@e_f'

"$mintbench" serve --synthetic vms=2 --imds 127.0.0.1:0 --sts 127.0.0.1:0 --arm 127.0.0.1:0 --vault 127.0.0.1:0 \
    --admin 127.0.0.1:0 >"$work/serve" 2>&1 &
started+=($!)
told "$work/serve" ready >/dev/null
admin=$(told "$work/serve" 'admin ')
"$mintbench" run "$admin/healthz" -r 100 -d 5s --warmup 1s --pacer-test 0s -c 4 -X POST --body '{"a|b": "<@c>"}' --quiet \
    --max-errors 1 --metrics 127.0.0.1:0 --out "$work/run" --out-markdown "$work/run.md" >"$work/out" 2>"$work/err" &
run=$!
address=$(told "$work/err" metrics)
sleep 3
metrics run "$address" mintbench_run_requests
metrics serve "$admin/metrics" mintbench_
wait "$run" || true
"$python" -B tests/readers/check.py markdown "$work/run.md" 'get+http://'
