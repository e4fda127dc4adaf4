#!/usr/bin/env bash
# Tests the tests of the guards: installs what `run.py` needs, and runs it with the same arguments.
#
#   tests/mutation/run.sh               every mutant, and every guard against a threat
#   tests/mutation/run.sh --threats     the guards against threats alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tool=target/mutation/python
if ! "$tool/bin/python" -c 'import tree_sitter, tree_sitter_rust' 2>/dev/null; then
    python3 -m venv "$tool"
    "$tool/bin/pip" install --quiet --disable-pip-version-check tree-sitter==0.26.1 tree-sitter-rust==0.24.2
fi
exec "$tool/bin/python" -B tests/mutation/run.py "$@"
