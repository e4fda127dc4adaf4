#!/usr/bin/env bash
# Attacks a broker with connections, beside a steady valid client.
#
#   benches/attacks/run.sh target/dist/mintbench > results/reference/attacks.md      # about 7 minutes
#
# Two attacks, each from one address, 127.0.0.2: IDLE (21,000) connections to the identity endpoint that say
# nothing, and SLOW (4,000) connections that read lists of the control plane at 64 bytes a second. Of the
# connections that the server closes, 200 a second are opened again. The attackers give way to others (nice),
# as they share the cores. Beside each attack a client asks for tokens at RATE (500) requests a second for
# SECONDS_EACH (40), and the admin endpoint is asked once a second on a new connection.
#
# Prints one table. Exit code: 0 when the client had no error, its p99 stayed within 3 times, memory was
# back within 20 % after a minute and every look at /readyz was answered; 1 when not; 2 when it could not be
# tried. Needs python3 and curl, and a limit on open files of 12,000 (`ulimit -Hn`).
set -euo pipefail

die() {
    echo "error: $*" >&2
    exit 2
}

(($# >= 1)) || die "usage: run.sh MINTBENCH"
binary=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
idle=${IDLE:-21000} slow=${SLOW:-4000} rate=${RATE:-500} seconds=${SECONDS_EACH:-40} after=${AFTER:-60}
ulimit -n "$(ulimit -Hn)"
work=$(mktemp -d)
children=()
finish() {
    for child in "${children[@]}"; do kill "$child" 2> /dev/null || true; done
    wait 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT

"$binary" serve --synthetic vms=1000,user-assigned=10 --arm-auth off \
    --imds 127.0.0.1:0 --sts 127.0.0.1:0 --arm 127.0.0.1:0 --vault 127.0.0.1:0 --admin 127.0.0.1:0 \
    > "$work/serve.out" 2> "$work/serve.err" &
server=$!
children+=("$server")
for _ in $(seq 600); do
    grep -qx ready "$work/serve.out" && break
    sleep 0.1
done
grep -qx ready "$work/serve.out" || die "the broker did not start: $(cat "$work/serve.err")"
url() { awk -v name="$1" '$1 == name { print $2 }' "$work/serve.out"; }
arm=$(url arm) imds=$(url imds) admin=$(url admin)
subscription=$(curl -sk "$arm/subscriptions?api-version=2022-12-01" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["value"][0]["subscriptionId"])')
list="/subscriptions/$subscription/providers/Microsoft.Compute/virtualMachines?api-version=2023-03-01"
curl -sfk "$arm$list" > /dev/null || die "the list to be read slowly is not answered"

rss_kb() { awk '/^VmRSS:/ { print $2 }' "/proc/$server/status"; }
log_lines() { wc -l < "$work/serve.err"; }

# Runs the client and prints its errors and its p99 in microseconds.
client() {
    "$binary" run --target "imds+$imds" --rate "$rate" --duration "${seconds}s" --warmup 2s --vms 10 \
        --connections 10 --out "$work/run-$1" --json > "$work/client.json" 2> "$work/client.err" || true
    python3 "$here/client.py" "$work/client.json" || die "the client gave no result: $(tail -3 "$work/client.err")"
}

# Looks at /readyz and at the memory each second until the file is gone: failures, slowest look in ms, most kB.
watch_server() {
    local failures=0 slowest=0 most=0 took now
    while [[ -e $1 ]]; do
        took=$(curl -s -o /dev/null -m 5 -w '%{http_code} %{time_total}' "$admin/readyz" || true)
        [[ $took == 200* ]] || failures=$((failures + 1))
        slowest=$(awk -v a="$slowest" -v b="${took#* }" 'BEGIN { b *= 1000; print (b > a) ? b : a }')
        now=$(rss_kb)
        ((now > most)) && most=$now
        sleep 1
    done
    echo "$failures $slowest $most"
}

# Starts attackers, each with its share, and keeps their ends open in `pipes`.
attackers=() pipes=()
attack() {
    local kind=$1 url=$2 count=$3 target=${4:-} share=10500 pipe
    while ((count > 0)); do
        mkfifo "$work/pipe-$kind-$count"
        nice -n 19 python3 "$here/attack.py" "$kind" "$url" "$((count < share ? count : share))" 127.0.0.2 $target \
            < "$work/pipe-$kind-$count" >> "$work/attack-$kind" &
        attackers+=("$!") children+=("$!")
        exec {pipe}> "$work/pipe-$kind-$count"
        pipes+=("$pipe")
        count=$((count - share))
    done
}
end_attack() {
    local pipe
    for pipe in "${pipes[@]}"; do exec {pipe}>&-; done
    wait "${attackers[@]}" || true
    attackers=() pipes=()
}

client warm > /dev/null
read -r errors alone_us <<< "$(client alone)"
echo "## Attacks beside a steady client"
echo
echo "\`$("$binary" --version)\`, $(nproc) cores, $(uname -r), $(ulimit -n) open files; client: $rate tokens a second for $seconds s; alone: p99 $alone_us us, $errors errors"
echo
echo "| attack | errors of the client | p99 us | times alone | RSS before, kB | most | ${after} s after | /readyz failed | slowest, ms | log lines |"
echo "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
verdict=0
one() {
    local kind=$1 before lines errors p99 failures slowest most rest ok
    shift
    before=$(rss_kb) lines=$(log_lines)
    touch "$work/watched"
    watch_server "$work/watched" > "$work/watch" &
    local watcher=$!
    attack "$kind" "$@"
    sleep 2
    read -r errors p99 <<< "$(client "$kind")"
    end_attack
    rm "$work/watched"
    wait "$watcher"
    read -r failures slowest most < "$work/watch"
    sleep "$after"
    rest=$(rss_kb)
    ok=$(awk -v e="$errors" -v p="$p99" -v a="$alone_us" -v b="$before" -v r="$rest" -v f="$failures" \
        'BEGIN { print (e == 0 && p <= 3 * a && r <= 1.2 * b && f == 0) ? 0 : 1 }')
    ((ok == 0)) || verdict=1
    printf '| %s | %s | %s | %.2f | %s | %s | %s | %s | %.1f | %s |\n' "$kind" "$errors" "$p99" \
        "$(awk -v p="$p99" -v a="$alone_us" 'BEGIN { print p / a }')" "$before" "$most" "$rest" \
        "$failures" "$slowest" "$(($(log_lines) - lines))"
}
one idle "$imds" "$idle"
one slow "$arm" "$slow" "$list"
echo
for kind in idle slow; do sed "s/^/$kind: /" "$work/attack-$kind"; done
echo
curl -s "$admin/metrics" | grep -E '^mintbench_(connections|answers_refused)' | grep -v ' 0$' | sed 's/^/    /'
exit "$verdict"
