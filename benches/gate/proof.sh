#!/usr/bin/env bash
# Proves the timed gate with its default settings: it lets equal builds pass, and fails one whose hits take 3 % longer.
#
#   benches/gate/proof.sh 60 > results/reference/gate.md      # 60 gates of each kind, about two hours
#   MINUTES=20 benches/gate/proof.sh 60                       # a part of them; begin again to go on
#
# Builds two executables of the commit that is checked out, in a work tree under target/: one as it is, and one with
# benches/gate/slow.patch, whose broker makes GATE_PROOF_ROUNDS thousandths of a system call in vain on every hit. The
# product has nothing of it. Trials before the gates that count say how many make the median of a hit 3 % longer. Then
# gates of both kinds take turns: a fresh copy of the base, and the slowed build.
#
# Each gate is one line of target/gate-proof/<commit>/gates.jsonl; an interrupted proof goes on there.
# Exit code: 0 when the proof holds, 1 when not, 2 when it could not be made, 3 when gates are left to be made.
#
#   MINUTES=N           begin no gate after so many minutes
#   TABLE=1             make no gate, print the table of those that were made
#   SLOWER=0.03         by how much the median is made longer
#   GATE_FLAGS='...'    flags of each gate; gates of other flags are another proof
#   BASE=FILE SLOWED=FILE   executables instead of those that are built here
#   PROFILE=dev         another profile of the builds, to try the script; BUILD names another folder for the objects
set -euo pipefail
cd "$(dirname "$0")/../.."

gates=${1:-60}
slower=${SLOWER:-0.03}
profile=${PROFILE:-dist}
minutes=${MINUTES:-100000}
read -ra flags <<<"${GATE_FLAGS:-}"

die() {
    echo "error: $*" >&2
    exit 2
}

commit=$(git rev-parse HEAD) || die "this is not a git repository"
[[ -z $(git status --porcelain --untracked-files=no) ]] ||
    echo "note: what is not committed is not in the builds" >&2
patch=$PWD/benches/gate/slow.patch
store=$PWD/target/gate-proof/$commit-$profile-$(sha256sum "$patch" | cut -c1-8)
tree=$PWD/target/gate-proof/tree-$$
export CARGO_TARGET_DIR=${BUILD:-$PWD/target/gate-proof/build}
folder=$profile
[[ $profile != dev ]] || folder=debug
mkdir -p "$store"

clean_up() {
    git worktree remove --force "$tree" 2>/dev/null || true
    rm -f "$store"/copy-*
}
trap clean_up EXIT

put() { # file, name in the store: in its place whole or not at all
    cp "$1" "$store/$2.new"
    mv "$store/$2.new" "$store/$2"
}

build() { # name of the executable in the store
    (cd "$tree" && cargo build --profile "$profile" --locked --bin mintbench >&2) || die "$1 does not build"
    put "$CARGO_TARGET_DIR/$folder/mintbench" "$1"
}

if [[ -n ${BASE:-} && -n ${SLOWED:-} ]]; then
    put "$BASE" base
    put "$SLOWED" slowed
elif [[ ! -x $store/base || ! -x $store/slowed ]]; then
    git worktree add --detach --quiet "$tree" "$commit" || die "cannot check $commit out"
    git -C "$tree" apply --check "$patch" || die "benches/gate/slow.patch does not apply to $commit; make it anew"
    build base
    git -C "$tree" apply "$patch"
    build slowed
fi
unset CARGO_TARGET_DIR
base=$store/base
log=$store/gates.jsonl
said="slower=$slower ${flags[*]-}"
if [[ -e $store/flags && $(<"$store/flags") != "$said" ]]; then
    die "$store holds gates with other flags ($(<"$store/flags")); remove it, or use those"
fi
echo "$said" >"$store/flags"

run_gate() { # candidate, seed; the verdict's exit code goes to \$code
    code=0
    timeout 600 "$base" gate --base "$base" --candidate "$1" --seed "$2" --json \
        ${flags[@]+"${flags[@]}"} >"$store/gate.json" || code=$?
    ((code == 0 || code == 1 || code == 3 || code == 4)) || die "a gate ended with $code"
    [[ -s $store/gate.json ]] || die "a gate has no result"
}

# None of the trials counts. They slow by more than what is looked for, which is seen more exactly.
calibrate() {
    local tried=30000 trials=() trial
    for trial in 1 2 3; do
        # One look, so that the slow-down does not end the trial early.
        MINTBENCH_GATE_PAIRS=16 MINTBENCH_GATE_PAIRS_MAX=16 GATE_PROOF_ROUNDS=$tried run_gate "$store/slowed" "$trial"
        mv "$store/gate.json" "$store/trial-$trial.json"
        trials+=("$store/trial-$trial.json")
    done
    python3 benches/gate/table.py rounds "$slower" "$tried" "${trials[@]}" >"$store/rounds.new" || die "the slowed build was not measured"
    mv "$store/rounds.new" "$store/rounds"
}

touch "$log"
if [[ -z ${TABLE:-} ]]; then
    [[ -e $store/rounds ]] || calibrate
    GATE_PROOF_ROUNDS=$(<"$store/rounds")
    export GATE_PROOF_ROUNDS
    echo "a hit of the slowed build makes $GATE_PROOF_ROUNDS thousandths of a system call more" >&2
    for ((number = 1; number <= gates; number++)); do
        for kind in equal slowed; do
            ! grep -q "^{\"kind\": \"$kind\", \"number\": $number," "$log" || continue
            if ((SECONDS >= minutes * 60)); then
                echo "$(wc -l <"$log") of $((2 * gates)) gates are made; begin again to go on" >&2
                exit 3
            fi
            candidate=$store/slowed
            if [[ $kind == equal ]]; then
                # A copy of its own for each gate: it lies in the page cache in another way.
                candidate=$store/copy-$number
                cp "$base" "$candidate"
            fi
            start=$(date +%s%N)
            # Seeds of pairs follow each other; no two gates share one.
            run_gate "$candidate" $((number * 1000))
            took=$((($(date +%s%N) - start) / 1000000))
            rm -f "$store/copy-$number"
            line=$(python3 benches/gate/table.py line "$store/gate.json" "$kind" "$number" "$code" "$took")
            echo "$line" >>"$log"
            echo "$kind $number of $gates: exit $code after $took ms" >&2
        done
    done
fi
[[ -s $log ]] || die "no gate was made"
python3 benches/gate/table.py table "$log" "$gates" "$slower" "$(<"$store/rounds")" "${flags[*]-}"
