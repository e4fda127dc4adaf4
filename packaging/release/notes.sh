#!/usr/bin/env bash
# Prints the notes of a release: its section of CHANGELOG.md.
#
#   packaging/release/notes.sh VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
notes=$(awk -v heading="## $1" '
    index($0, "## ") == 1 { inside = ($0 == heading || index($0, heading " ") == 1); next }
    inside' CHANGELOG.md)
[[ -n ${notes//[[:space:]]/} ]] || {
    echo "CHANGELOG.md has no section '## $1'" >&2
    exit 1
}
printf '%s\n' "$notes"
