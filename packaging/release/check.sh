#!/usr/bin/env bash
# Checks that a program is static, has the version, and serves without a variable of this shell:
#
#   packaging/release/check.sh PROGRAM VERSION
set -euo pipefail
program=$(realpath "$1") version=$2

if readelf --program-headers "$program" | grep INTERP; then
    echo "$program is not static: it needs the loader of the line above" >&2
    exit 1
fi
said=$("$program" --version)
[[ $said == "mintbench $version"* ]] || {
    echo "$program is $said, not $version" >&2
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The folder of a server that `exec` starts has its authority, which Node.js trusts besides the public ones.
# shellcheck disable=SC2016 # the shell below expands it
token=$(env -i TMPDIR="$folder" "$program" exec -- /bin/sh -c '
    data=${NODE_EXTRA_CA_CERTS%/ca.pem}
    "$0" health --data "$data" >&2 && "$0" token --data "$data" --bare --resource https://vault.azure.net' "$program")
[[ $token == eyJ* ]] || {
    echo "$program gives no token" >&2
    exit 1
}
echo "$program is static and gives tokens"
