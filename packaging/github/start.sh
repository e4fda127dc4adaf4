#!/usr/bin/env bash
# Starts a broker for the action, waits until it is healthy, and gives its environment to later steps.
set -euo pipefail

run=$(mktemp -d "$RUNNER_TEMP/mintbench-XXXXXX")
data=$run/data
read -ra args <<<"${INPUT_ARGS//$'\n'/ }"
[[ -z $INPUT_WORLD ]] || args+=(--seed-world "$INPUT_WORLD")
# Endpoints without an argument take a free port: what else runs on the machine is not known.
for endpoint in imds app-service sts arm vault admin; do
    [[ " ${args[*]-} " == *" --$endpoint"[\ =]* ]] || args+=("--$endpoint" 127.0.0.1:0)
done

: >"$run/serve.out"
nohup "$INPUT_BINARY" serve --data "$data" "${args[@]}" </dev/null >"$run/serve.out" 2>"$run/serve.err" &
pid=$!
echo "$pid" >"$run/pid"

fail() {
    kill "$pid" 2>/dev/null || true
    echo "::error title=mintbench::$*"
    # Text of the log gives the runner no commands.
    local mark=end-$RANDOM$RANDOM
    echo "::stop-commands::$mark"
    cat "$run/serve.err"
    echo "::$mark::"
    exit 1
}

deadline=$((SECONDS + INPUT_TIMEOUT))
until grep -qx ready "$run/serve.out" && "$INPUT_BINARY" health --data "$data" >"$run/health" 2>&1; do
    kill -0 "$pid" 2>/dev/null || fail "the broker did not start"
    ((SECONDS < deadline)) || fail "the broker was not healthy within $INPUT_TIMEOUT s"
    sleep 0.1
done
cat "$run/health"

while read -r name value; do
    # A secret: masked in the log of the job, and no output of the step.
    if [[ $name == app-service-header ]]; then
        echo "::add-mask::$value"
        continue
    fi
    [[ -z $value ]] || echo "$name=$value" >>"$GITHUB_OUTPUT"
done <"$run/serve.out"
echo "data=$data" >>"$GITHUB_OUTPUT"

vm=()
[[ -z $INPUT_VM ]] || vm=(--vm "$INPUT_VM")
"$INPUT_BINARY" env --data "$data" --shell github "${vm[@]}" >"$run/env" || fail "there is no environment for ${INPUT_VM:-the steps}"
# The header of the machine is a secret, too.
sed -n 's/^IDENTITY_HEADER=/::add-mask::/p' "$run/env"
tee -a "$GITHUB_ENV" <"$run/env"
echo "MINTBENCH_DATA=$data" >>"$GITHUB_ENV"
