#!/usr/bin/env bash
# Finds mintbench for the action: an executable that is there, a release, or a build of this source.
# Writes its path to the outputs of the step, and its folder to the PATH of later steps.
set -euo pipefail

source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

fail() {
    echo "::error title=mintbench::$*"
    exit 1
}

found() {
    echo "binary=$1" >>"$GITHUB_OUTPUT"
    # Later steps call it by its name.
    if [[ ${1##*/} == mintbench ]]; then dirname "$1" >>"$GITHUB_PATH"; fi
    "$1" --version
    exit
}

if [[ -n $INPUT_BINARY ]]; then
    binary=$(command -v "$INPUT_BINARY") || fail "there is no executable $INPUT_BINARY; build it in a step before"
    found "$(realpath "$binary")"
fi

version=${INPUT_VERSION#v}
if [[ -z $version && $INPUT_REF =~ ^v([0-9]+\.[0-9]+\.[0-9]+)$ ]]; then
    version=${BASH_REMATCH[1]}
fi
if [[ -n $version ]]; then
    machine=$(uname -m)
    [[ $(uname -s) == Linux && $machine =~ ^(x86_64|aarch64)$ ]] ||
        fail "there is no release for $(uname -s) on $machine; name an executable by 'binary'"
    repository=${INPUT_REPOSITORY:-${GITHUB_REPOSITORY:?}}
    name=mintbench-$version-$machine-unknown-linux-gnu
    into=$RUNNER_TEMP/$name-download
    rm -rf "$into"
    gh release download "v$version" --repo "$repository" --dir "$into" \
        --pattern "$name.tar.gz" --pattern SHA256SUMS || fail "there is no release $version of $repository"
    (cd "$into" && grep -F "  $name.tar.gz" SHA256SUMS | sha256sum --check --strict --quiet -) ||
        fail "$name.tar.gz is not what SHA256SUMS names"
    tar -xzf "$into/$name.tar.gz" -C "$into"
    found "$into/$name/mintbench"
fi

command -v cargo >/dev/null ||
    fail "there is no cargo to build mintbench; name a release by 'version', or an executable by 'binary'"
echo "this is no release: building mintbench from its source"
export CARGO_TARGET_DIR=$RUNNER_TEMP/mintbench-build
# In its folder, so that rustup reads its rust-toolchain.toml.
(cd "$source_folder" && cargo build --release --locked --bin mintbench)
found "$CARGO_TARGET_DIR/release/mintbench"
