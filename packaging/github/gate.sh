#!/usr/bin/env bash
# Runs `mintbench gate` for the action: files, the summary of the job, annotations, and the exit code as an output.
set -euo pipefail

folder=$(mktemp -d "$RUNNER_TEMP/mintbench-gate-XXXXXX")
read -ra args <<<"${INPUT_ARGS//$'\n'/ }"
[[ -z $INPUT_BASE ]] || args+=(--base "$INPUT_BASE")
judge=${INPUT_JUDGE:-${INPUT_BASE:-$INPUT_CANDIDATE}}
# A path of an artifact, which has lost the right to be run.
for program in "$judge" "$INPUT_BASE" "$INPUT_CANDIDATE"; do
    [[ ! -f $program || -x $program ]] || chmod +x "$program"
done

code=0
"$judge" gate --candidate "$INPUT_CANDIDATE" "${args[@]}" \
    --out "$folder/gate" --junit "$folder/gate.xml" --markdown "$folder/gate.md" || code=$?

case $code in
    0) verdict=pass level=notice said="no slower than allowed" ;;
    1) verdict=fail level=error said="slower, or a check failed" ;;
    2) verdict=error level=error said="the gate could not be carried out; the log of the step says why" ;;
    3) verdict=cannot-tell level=error said="a slow-down is neither shown nor excluded; run the job again, or raise --pairs-max" ;;
    4) verdict=invalid level=error said="nothing could be judged on this runner; run the job again" ;;
    6) verdict=no-baseline level=error said="there is no baseline that can be repeated here" ;;
    130) verdict=interrupted level=error said="the gate was interrupted" ;;
    *) verdict=error level=error said="the gate ended with $code" ;;
esac
printf '%s\n' "code=$code" "verdict=$verdict" "folder=$folder" >>"$GITHUB_OUTPUT"

if [[ -f $folder/gate.md ]]; then
    cat "$folder/gate.md" >>"$GITHUB_STEP_SUMMARY"
else
    printf '### mintbench gate: %s\n\n%s.\n' "$verdict" "$said" >>"$GITHUB_STEP_SUMMARY"
fi

# One annotation for each metric that failed, with its figures, and one for the verdict.
read -r -d '' metrics <<'JQ' || true
def share: . * 1000 | round / 10 | tostring + " %";
.metrics[]
| if .work then select(.verdict == "fail") | "\(.class) \(.work): \(.base) in the base, \(.candidate) in the candidate"
  else select(.judged.verdict == "fail") | "\(.metric): \(.judged.effect | share) slower or larger, limit \(.limit | share)" end
JQ
annotate() {
    local text=${2//'%'/%25}
    echo "::$1 title=mintbench gate::${text//$'\n'/%0A}"
}
for document in "$folder/gate/gate.json" "$folder/gate/count.json"; do
    if [[ -f $document ]] && command -v jq >/dev/null; then
        said=$(jq -r .sentence "$document")
        while IFS= read -r line; do
            annotate error "$line"
        done < <(jq -r "$metrics" "$document")
    fi
done
annotate "$level" "$verdict: $said"
