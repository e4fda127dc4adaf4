#!/usr/bin/env bash
# What unmodified Azure SDKs do when the identity endpoint fails, as the table of docs/faults.md.
#
#   tests/netns/faults.sh [--write] [path to mintbench]      (default: target/debug/mintbench)
#
# Each language asks for one token under each fault, at 169.254.169.254 port 80 in a network namespace of its own.
# It takes about twenty minutes, nearly all of them waits. `--write` puts the table into docs/faults.md.
#
# Needs root, ip, unshare, Python 3.11, node 20 with npm, go, a JDK with Maven, and cargo. A language whose tool is
# missing is left out of the table. What it builds is in tests/netns/.work, as for run.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
write=()
if [[ ${1:-} == --write ]]; then
    write=(--write "$here/../../docs/faults.md")
    shift
fi
broker=$(realpath -m "${1:-$here/../../target/debug/mintbench}")
export NETNS_WORK=$here/.work
work=$NETNS_WORK
source "$here/../lib.sh"

[[ -x $broker ]] || fail "$broker is not there; build it, or name the binary as the argument"
((EUID == 0)) || fail "network namespaces need root"
has() { command -v "$1" >/dev/null; }
has ip && has unshare || fail "there is no ip or no unshare; install iproute2 and util-linux"

mkdir -p "$work"
install_python "$here/python/requirements.txt" "$work"
languages=(python)
if has npm; then
    install_js "$here/js" "$work/js"
    languages+=(js)
fi
if has go; then
    (cd "$here/go" && CGO_ENABLED=0 go build -o "$work/go-ask" ./ask)
    languages+=(go)
fi
if has mvn && has javac; then
    install_java "$here/java/pom.xml" "$work/java"
    javac -cp "$work/java/lib/*" -d "$work/java/classes" "$here/java/Ask.java"
    languages+=(java)
fi
if has cargo; then
    CARGO_TARGET_DIR=$work/rust cargo build --quiet --locked --bin ask --manifest-path "$here/rust/Cargo.toml"
    languages+=(rust)
fi
forget_environment
exec "$work/venv/bin/python" "$here/python/faults.py" "${write[@]}" "$broker" "${languages[@]}"
