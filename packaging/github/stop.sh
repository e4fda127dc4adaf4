#!/usr/bin/env bash
# Ends the broker that the action started, shows its log, and removes its folder. The runner ends it with the job in
# any case.
set -euo pipefail

if [[ $INPUT_COMMAND != stop ]]; then
    echo "::error title=mintbench::the input 'command' is start or stop, not $INPUT_COMMAND"
    exit 1
fi
run=${MINTBENCH_DATA%/data}
if [[ -z $run || ! -f $run/pid ]]; then
    echo "no broker to stop"
    exit
fi
pid=$(<"$run/pid")
kill "$pid" 2>/dev/null || true
deadline=$((SECONDS + 30))
while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS >= deadline)); then
        kill -KILL "$pid" || true
        echo "::warning title=mintbench::the broker did not end within 30 s and was killed"
        break
    fi
    sleep 0.1
done
echo "::group::Log of the broker"
# Text of the log gives the runner no commands.
mark=end-$RANDOM$RANDOM
echo "::stop-commands::$mark"
cat "$run/serve.err"
echo "::$mark::"
echo "::endgroup::"
rm -rf "$run"
