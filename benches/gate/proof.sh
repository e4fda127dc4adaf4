#!/usr/bin/env bash
# Proves the gate: does it let equal builds pass, and does it fail one whose hits cost 5 % more?
#
#   benches/gate/proof.sh 100 > results/reference/gate.md      # 100 gates of each kind, about 55 minutes
#
# Builds two executables of the commit that is checked out, in a work tree under target/: one as it is,
# and one with benches/gate/slow.patch, whose broker sends itself GATE_PROOF_ROUNDS thousandths of an answer
# in vain on every hit. The product has nothing of it. It is work of the same kind as a hit, because the
# share of a span of time, or of arithmetic, changes with the speed of the machine. Trials before the gates
# that count say how much makes a hit 5 % dearer. Then gates of both kinds take turns: base against base,
# base against the slowed one.
#
# Each gate is one line of target/gate-proof/<commit>/gates.jsonl; an interrupted proof goes on there.
# Exit code: 0 when the proof holds, 1 when not, 2 when it could not be made.
#
# SLOWER=0.05 is what the work costs, as a share. GATE_FLAGS are the flags of each gate; the power says how
# seldom a slow-down of exactly the limit may pass, and none of a hundred is to. PROFILE=dev takes
# a debug build, to try the script. BUILD names another folder for the objects.
set -euo pipefail
cd "$(dirname "$0")/../.."

gates=${1:-100}
slower=${SLOWER:-0.05}
profile=${PROFILE:-dist}
read -ra flags <<<"${GATE_FLAGS:---metrics cpu --rate 10000 --duration 300ms --warmup 50ms --vms 20 --user-assigned 1 --pairs 12 --pairs-max 12 --power 0.999}"

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

remove_tree() { git worktree remove --force "$tree" 2>/dev/null || true; }
trap remove_tree EXIT

build() { # name of the executable in the store
    (cd "$tree" && cargo build --profile "$profile" --locked --bin mintbench >&2) || die "$1 does not build"
    # In its place whole or not at all.
    cp "$CARGO_TARGET_DIR/$folder/mintbench" "$store/$1.new"
    mv "$store/$1.new" "$store/$1"
}

if [[ ! -x $store/base || ! -x $store/slowed ]]; then
    git worktree add --detach --quiet "$tree" "$commit" || die "cannot check $commit out"
    git -C "$tree" apply --check "$patch" || die "benches/gate/slow.patch does not apply to $commit; make it anew"
    build base
    git -C "$tree" apply "$patch"
    build slowed
    remove_tree
fi
unset CARGO_TARGET_DIR
base=$store/base
slowed=$store/slowed
log=$store/gates.jsonl
# Gates of other flags are another proof.
said="slower=$slower ${flags[*]}"
if [[ -e $store/flags && $(<"$store/flags") != "$said" ]]; then
    die "$store holds gates with other flags ($(<"$store/flags")); remove it, or use those"
fi
echo "$said" >"$store/flags"

run_gate() { # candidate, seed; the verdict's exit code goes to \$code
    code=0
    timeout 600 "$base" gate --base "$base" --candidate "$1" --seed "$2" --json "${flags[@]}" >"$store/gate.json" || code=$?
    ((code == 0 || code == 1 || code == 3 || code == 4)) || die "a gate ended with $code"
    [[ -s $store/gate.json ]] || die "a gate has no result"
}

# None of the trials counts. They slow by some tenth, which is seen more exactly than what is looked for.
calibrate() {
    local tried=500 trials=() trial
    for trial in 1 2 3 4 5; do
        GATE_PROOF_ROUNDS=$tried run_gate "$slowed" "$trial"
        mv "$store/gate.json" "$store/trial-$trial.json"
        trials+=("$store/trial-$trial.json")
    done
    python3 benches/gate/table.py rounds "$slower" "$tried" "${trials[@]}" >"$store/rounds.new" || die "the slowed build was not measured"
    mv "$store/rounds.new" "$store/rounds"
}

[[ -e $store/rounds ]] || calibrate
GATE_PROOF_ROUNDS=$(<"$store/rounds")
export GATE_PROOF_ROUNDS
echo "a hit of the slowed build sends $GATE_PROOF_ROUNDS thousandths of an answer more" >&2

touch "$log"
for ((number = 1; number <= gates; number++)); do
    for kind in equal slowed; do
        ! grep -q "^{\"kind\": \"$kind\", \"number\": $number," "$log" || continue
        candidate=$base
        [[ $kind == equal ]] || candidate=$slowed
        start=$(date +%s%N)
        # Seeds of pairs follow each other; no two gates share one.
        run_gate "$candidate" $((number * 1000))
        took=$((($(date +%s%N) - start) / 1000000))
        line=$(python3 benches/gate/table.py line "$store/gate.json" "$kind" "$number" "$code" "$took")
        echo "$line" >>"$log"
        echo "$kind $number of $gates: exit $code after $took ms" >&2
    done
done
python3 benches/gate/table.py table "$log" "$gates" "$slower" "$GATE_PROOF_ROUNDS" "$profile" "${flags[*]}"
