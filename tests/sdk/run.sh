#!/usr/bin/env bash
# Unmodified Azure SDKs against a broker: each gets tokens, and each token is verified.
#
#   tests/sdk/run.sh [path to mintbench]      (default: target/debug/mintbench)
#
# Needs bash, Python 3.11, node 20 and npm. Without go 1.25, the SDK for Go is skipped, and the last line says
# so. What it installs stays in tests/sdk/.work.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
broker=$(realpath "${1:-$here/../../target/debug/mintbench}")
export SDK_WORK=$here/.work
source "$here/../lib.sh"

[[ -x $broker ]] || fail "$broker is not there; build it, or name the binary as the argument"

install_python "$here/requirements.txt" "$SDK_WORK"
install_js "$here" "$SDK_WORK/npm"
skipped=
if command -v go >/dev/null; then
    (cd "$here/go" && CGO_ENABLED=0 go build -o "$SDK_WORK/go-checks" .)
else
    skipped="; SKIPPED: go, for there is no go here"
fi
forget_environment

# Every endpoint that this broker has takes a free port, so that nothing collides.
rm -rf "$SDK_WORK/data"
export MINTBENCH_DATA=$SDK_WORK/data
flags=(--world "$here/world.toml" --data "$SDK_WORK/data" --host-name westus2.localhost --test-tools)
help=$("$broker" serve --help)
for endpoint in imds sts arm vault admin app-service; do
    if grep -qE -- "^ +--$endpoint( |$)" <<<"$help"; then
        flags+=("--$endpoint" 127.0.0.1:0)
    fi
done
"$broker" serve "${flags[@]}" >"$SDK_WORK/serve.out" 2>"$SDK_WORK/serve.err" &
serve=$!
trap 'kill "$serve" 2>/dev/null || true; wait "$serve" || true' EXIT

await_ready "$serve" "$SDK_WORK"
url() {
    sed -n "s/^$1 //p" "$SDK_WORK/serve.out"
}

AZURE_POD_IDENTITY_AUTHORITY_HOST=$(url imds)
STS_URL=$(url sts)
VAULTS=$("$broker" vault list --json)
export VAULTS
# The first two as in world.toml; the last is in no world.
APP_CLIENT_ID=c11e0000-0000-4000-8000-0000000000a1
APP_PRINCIPAL_ID=0b1ec700-0000-4000-8000-0000000000a1
OTHER_CLIENT_ID=c11e0000-0000-4000-8000-0000000000ff
# The operator, a service principal with a certificate, logs in over TLS.
AUTHORITY_HOST=localhost:${STS_URL##*:}
OPERATOR=$SDK_WORK/data/operator
ca=$SDK_WORK/data/ca.pem
export AUTHORITY_HOST OPERATOR REQUESTS_CA_BUNDLE=$ca SSL_CERT_FILE=$ca NODE_EXTRA_CA_CERTS=$ca
export AZURE_POD_IDENTITY_AUTHORITY_HOST STS_URL APP_CLIENT_ID APP_PRINCIPAL_ID OTHER_CLIENT_ID
# Programs of App Service find these under other names, which would hide the identity endpoint.
APP_SERVICE_ENDPOINT=$(url app-service)
APP_SERVICE_HEADER=$(url app-service-header)
export APP_SERVICE_ENDPOINT APP_SERVICE_HEADER
# A machine that may ask once a second.
SLOW_HOST=$(eval "$("$broker" env --vm slow)" && echo "$AZURE_POD_IDENTITY_AUTHORITY_HOST")
export SLOW_HOST
ADMIN_URL=$(url admin)
ADMIN_SECRET_FILE=$(url admin-secret)
export ADMIN_URL ADMIN_SECRET_FILE

# Tokens go from one to the other through a pipe. Only those that an SDK reads from a file are in one.
# SDKs log refusals on standard error; the verdicts say what matters.
node "$here/checks.mjs" | "$SDK_WORK/venv/bin/python" "$here/checks.py" \
    2>"$SDK_WORK/sdk.err" | tee "$SDK_WORK/verdicts" || fail "$(cat "$SDK_WORK/sdk.err")"

# azidentity for Go always calls 169.254.169.254, so the client gets a token.
expected=31
if [[ -z $skipped ]]; then
    VAULT_TOKEN=$("$broker" token --bare --vm-address 127.0.0.1 --resource https://vault.azure.net)
    VAULT_TOKEN=$VAULT_TOKEN "$SDK_WORK/go-checks" | tee -a "$SDK_WORK/verdicts"
    expected=$((expected + 1))
fi

passed=$(grep -c '^ok ' "$SDK_WORK/verdicts" || true)
failed=$(grep -c '^not ok ' "$SDK_WORK/verdicts" || true)
((passed + failed == expected)) || fail "$((passed + failed)) checks ran, not $expected"
echo "$passed passed, $failed failed$skipped"
((failed == 0))
