#!/usr/bin/env bash
# Checks what mintbench is installed and used with: the actions for GitHub, which are played step by step, workflows, the
# snippet for GitLab, service files, and scripts.
#
#   tests/packaging/run.sh [path to mintbench]      (default: target/debug/mintbench)
#
# Needs Python 3.11 and its package index for the first time. Linters of Go and of systemd are skipped where these are
# missing, and the last line says so. What it installs stays in tests/packaging/.work.
#
# Nothing here runs on GitHub or GitLab, and no release is made: those files are read by schemas and linters only.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(realpath "$here/../..")
mintbench=$(realpath "${1:-$root/target/debug/mintbench}")
work=$here/.work
# shellcheck source=tests/lib.sh
source "$root/tests/lib.sh"
[[ -x $mintbench ]] || fail "$mintbench is not there; build it, or name the binary as the argument"

cd "$root"
install_python "$here/requirements.txt" "$work"
forget_environment
export PATH=$work/venv/bin:$PATH
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
workflows=(.github/workflows/*.yml examples/ci/github.yml)

lint_schemas() {
    check-jsonschema --builtin-schema vendor.github-workflows "${workflows[@]}"
    check-jsonschema --builtin-schema vendor.github-actions action.yml gate/action.yml
    check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci examples/ci/gitlab-ci.yml
    # The schema of dev containers comes with no package.
    python3 -m json.tool .devcontainer/devcontainer.json >/dev/null
}

# The scripts of the action and of a release, and those of their tests.
lint_shellcheck() {
    shellcheck --severity=warning --external-sources --source-path="$root" packaging/*/*.sh tests/packaging/run.sh tests/fixtures/run.sh
}

# Expressions, contexts and inputs of workflows; of the local actions in them, too.
lint_actionlint() {
    local version=v1.7.12
    [[ -x $work/bin/actionlint-$version ]] || {
        GOBIN=$work/bin go install "github.com/rhysd/actionlint/cmd/actionlint@$version"
        mv "$work/bin/actionlint" "$work/bin/actionlint-$version"
    }
    "$work/bin/actionlint-$version" "${workflows[@]}"
}

# The unit as systemd reads it, with and without the drop-in for the real address, and how far it is shut off: 0 is best,
# 10 is worst.
lint_systemd() {
    local unit
    for unit in plain real; do
        mkdir -p "$run/$unit"
        sed "s|^ExecStart=/usr/local/bin/mintbench|ExecStart=$mintbench|" packaging/systemd/mintbench.service >"$run/$unit/mintbench.service"
    done
    mkdir "$run/real/mintbench.service.d"
    cp packaging/systemd/real-address.conf "$run/real/mintbench.service.d/"
    for unit in plain real; do
        # What it says is a fault, also where it ends with 0.
        systemd-analyze verify --man=no "$run/$unit/mintbench.service" >"$run/said" 2>&1 || true
        ! grep 'mintbench.service' "$run/said" || fail "systemd-analyze verify, $unit"
    done
    systemd-analyze security --offline=true --threshold=20 --no-pager "$run/plain/mintbench.service" | tail -n 1
    systemd-analyze security --offline=true --threshold=35 --no-pager "$run/real/mintbench.service" | tail -n 1
    if command -v systemd-sysusers >/dev/null; then
        mkdir -p "$run/etc" "$run/usr/lib/sysusers.d"
        cp packaging/systemd/mintbench.sysusers "$run/usr/lib/sysusers.d/mintbench.conf"
        systemd-sysusers --root="$run"
        grep -q '^mintbench:.*:/var/lib/mintbench:' "$run/etc/passwd"
    fi
}

# The notes of the only version that has some, and the refusal of one that has none.
lint_notes() {
    [[ $(packaging/release/notes.sh 0.1.0) == *"The first version."* ]]
    ! packaging/release/notes.sh 99.0.0 2>/dev/null
}

play_actions() {
    python -B "$here/checks.py" "$mintbench"
}

declare -A tools=([lint_actionlint]=go [lint_systemd]=systemd-analyze)
passed=0 failed=0 skipped=()
for step in lint_schemas lint_shellcheck lint_actionlint lint_systemd lint_notes play_actions; do
    if ! command -v "${tools[$step]:-python3}" >/dev/null; then
        echo "SKIPPED: $step, for there is no ${tools[$step]} here"
        skipped+=("$step")
        continue
    fi
    # A subshell outside any condition: within one, bash ignores the exit status of its commands.
    set +e
    (
        set -e
        "$step"
    )
    code=$?
    set -e
    if ((code == 0)); then
        passed=$((passed + 1))
        echo "ok $step"
    else
        failed=$((failed + 1))
        echo "not ok $step: exit code $code"
    fi
done
echo "$passed checks passed, $failed failed${skipped[*]:+; SKIPPED: ${skipped[*]}}"
((failed == 0))
