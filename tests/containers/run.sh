#!/usr/bin/env bash
# The image and the compose files of this repository in real containers, by podman.
#
#   tests/containers/run.sh [path to mintbench]      (default: target/debug/mintbench)
#
# The build stage of the image takes this program and compiles nothing. The base of the example's application is
# made of packages of the distribution, because no image can be pulled here. Containers, images and networks are in
# namespaces that end with this script: those of the machine stay as they are, and so does its network.
#
# Needs root, Python 3.11 with its package index, and podman, which apt-get installs where it can. Exit code 77:
# skipped, and the last line says why. What it installs stays in tests/containers/.work.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mintbench=$(realpath -m "${1:-$here/../../target/debug/mintbench}")
work=$here/.work
source "$here/../lib.sh"

[[ -x $mintbench ]] || fail "$mintbench is not there; build it, or name the binary as the argument"
"$here/host.sh"

skip() {
    echo "SKIPPED: $*"
    exit 77
}

# Prints the packages that are missing. crun refuses machines with both versions of cgroups.
missing_packages() {
    local helper
    command -v podman >/dev/null || echo podman
    command -v iptables >/dev/null || echo iptables
    command -v debootstrap >/dev/null || echo debootstrap
    command -v ip >/dev/null || echo iproute2
    command -v curl >/dev/null || echo curl
    if ! command -v runc >/dev/null && { [[ ! -e /sys/fs/cgroup/cgroup.controllers ]] || ! command -v crun >/dev/null; }; then
        echo runc
    fi
    for helper in netavark aardvark-dns; do
        [[ -x /usr/lib/podman/$helper || -x /usr/libexec/podman/$helper ]] || echo "$helper"
    done
}

ensure_tools() {
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} > 0)) || return 0
    command -v apt-get >/dev/null || skip "there is no ${missing[*]}, and no apt-get to install it"
    echo "installing ${missing[*]}"
    { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"; } ||
        skip "${missing[*]} cannot be installed"
}

# Makes the archive of a root file system with Python and the SDK, unless it is there from the last time.
prepare_base() {
    local into=$work/base suite version
    # shellcheck source=/dev/null
    suite=$(source /etc/os-release && echo "${VERSION_CODENAME:-}")
    [[ -n $suite ]] || skip "this distribution has no name that debootstrap knows"
    cmp -s <(echo "$suite" && cat "$here/base.txt") "$into/list" && return
    rm -rf --one-file-system "$into"
    mkdir -p "$into"
    # It may leave file systems of the kernel mounted, which end with a mount namespace of its own.
    unshare --mount -- debootstrap --variant=minbase --include=python3 "$suite" "$into/root" >"$into/debootstrap.log" ||
        fail "debootstrap: $(tail -n 20 "$into/debootstrap.log")"
    version=$(readlink "$into/root/usr/bin/python3")
    version=${version#python}
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps --only-binary=:all: \
        --python-version "$version" --target "$into/root/usr/local/lib/python$version/dist-packages" -r "$here/base.txt"
    # Images of Python let pip install, as this one then does.
    rm -rf "$into/root/usr/lib/python$version/EXTERNALLY-MANAGED" "$into"/root/var/cache/apt/archives/*.deb \
        "$into"/root/var/lib/apt/lists/* "$into"/root/usr/share/{doc,locale,man}
    tar --one-file-system -C "$into/root" -cf "$into/root.tar" .
    rm -rf --one-file-system "$into/root"
    { echo "$suite" && cat "$here/base.txt"; } >"$into/list"
}

((EUID == 0)) || skip "these containers need root, and this is user $EUID"
command -v python3 >/dev/null || skip "there is no python3"
ensure_tools
mkdir -p "$work"
# Another run waits for this one.
exec {lock}>"$work/lock"
flock "$lock"
install_python "$here/requirements.txt" "$work"
prepare_base

run=$(mktemp -d "$work/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
trap 'exit 130' INT TERM
unshare --mount --net --pid --fork --kill-child --mount-proc -- \
    "$here/checks.sh" "$mintbench" "$work" "$run" {lock}>&-
