#!/usr/bin/env bash
# Reads the interval logs of result folders with HdrHistogram's own Java library and log processor, and
# compares every percentile with `run.json` and the `.hgrm` files:
#
#   tests/hlog/run.sh FOLDER...
#   tests/hlog/run.sh               makes two runs of its own, with MINTBENCH [target/debug/mintbench]
#
# Needs a JDK (11 or newer), Maven and python3. What Maven brings stays in tests/hlog/.work.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/hlog
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

folders=("$@")
if (($# == 0)); then
    for args in "steady --vms 50 --rate 500 --warmup 500ms --duration 3s" "herd --herds 2 --callers 300"; do
        code=0
        # shellcheck disable=SC2086 # several words are meant
        "${MINTBENCH:-target/debug/mintbench}" run $args --alg ES256 --out "$work/${args%% *}" > "$work/out" || code=$?
        # Whether this machine is fit to measure (4 says that it is not) is no matter here.
        ((code == 0 || code == 4)) || { cat "$work/out"; exit 1; }
        folders+=("$work/${args%% *}")
    done
fi

jars=$here/.work/jars
if [[ ! -d $jars || $here/pom.xml -nt $jars ]]; then
    mvn --quiet --batch-mode --file "$here/pom.xml" dependency:copy-dependencies \
        "-DoutputDirectory=$PWD/$jars"
    touch "$jars"
fi
failed=0
for folder in "${folders[@]}"; do
    rm -rf "$work/java"
    mkdir "$work/java"
    java -cp "$jars/*" "$here/Percentiles.java" "$folder"/{response,service,lag}.hlog > "$work/percentiles"
    for tag in $(java -cp "$jars/*" org.HdrHistogram.HistogramLogProcessor -listtags \
        -i "$folder/response.hlog" | tail -n +2); do
        java -cp "$jars/*" org.HdrHistogram.HistogramLogProcessor -i "$folder/response.hlog" -tag "$tag" \
            -outputValueUnitRatio 1000 > "$work/java/$tag.hgrm"
    done
    python3 -B "$here/check.py" "$folder" "$work/percentiles" "$work/java" || failed=1
done
exit "$failed"
