#!/usr/bin/env bash
# Shows that the simulation finds bugs: plants each bug of tests/simulation/planted in a copy of this commit, and counts
# the histories until it is found.
#
#   tests/simulation/planted.sh                    # a table; 1 if a bug was not found within 1000 histories
#   PROFILE=dev tests/simulation/planted.sh        # in another profile
#   BUILD=FOLDER tests/simulation/planted.sh       # with the objects in another folder
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${PROFILE:-release}
histories=${MINTBENCH_SIMULATION_HISTORIES:-1000}
tree=$PWD/target/simulation-planted/tree-$$
export CARGO_TARGET_DIR=${BUILD:-$PWD/target/simulation-planted/build}
unset MINTBENCH_SIMULATION_SEED

[[ -z $(git status --porcelain --untracked-files=no) ]] ||
    echo "note: what is not committed is not in the builds" >&2
clean_up() {
    git worktree remove --force "$tree" 2>/dev/null || true
}
trap clean_up EXIT
mkdir -p "${tree%/*}"
git worktree add --quiet --detach "$tree" HEAD

missed=0
echo "| bug | histories until it was found | invariant that it breaks |"
echo "|---|--:|---|"
for patch in tests/simulation/planted/*.patch; do
    git -C "$tree" checkout --quiet .
    git -C "$tree" apply "$PWD/$patch"
    (cd "$tree" && cargo build --workspace --profile "$profile" --locked --test simulation >&2)
    code=0
    said=$(cd "$tree" && MINTBENCH_SIMULATION_HISTORIES=$histories RUST_BACKTRACE=0 \
        cargo test --workspace --profile "$profile" --locked --test simulation no_history 2>&1) || code=$?
    found=$(sed -nE 's/^after ([0-9]+) histories: history [0-9]+ breaks `([^`]+)`.*/\1 | \2/p' <<<"$said")
    bug=$(sed -n 's/^Bug: //p' "$patch")
    if ((code == 0)) || [[ -z $found ]]; then
        missed=1
        found="not within $histories |"
        tail -n 20 <<<"$said" >&2
    fi
    echo "| $bug | $found |"
done
exit "$missed"
