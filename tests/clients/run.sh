#!/usr/bin/env bash
# Unmodified clients with a secret, a certificate or a federated token of their own, and programs of App Service,
# against a broker: azidentity for Go, go-azure-sdk (which Terraform's provider is made with), azure-identity for
# Java, az, and kubelogin.
#
#   tests/clients/run.sh [path to mintbench]      (default: target/debug/mintbench)
#
# Needs bash, Python 3.11, go 1.25 and a JDK with Maven; a client whose tool is missing is skipped, and the
# last line says so. What it builds stays in tests/clients/.work.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
broker=$(realpath -m "${1:-$here/../../target/debug/mintbench}")
work=$here/.work

source "$here/../lib.sh"
[[ -x $broker ]] || fail "$broker is not there; build it, or name the binary as the argument"
command -v python3 >/dev/null || fail "there is no python3; install it"
mkdir -p "$work"

prepare_go() {
    (cd "$here/go" && CGO_ENABLED=0 go build -o "$work/go-checks" .)
}

# The versions are those of tests/netns.
prepare_java() {
    install_java "$here/../netns/java/pom.xml" "$work/java"
    javac -cp "$work/java/lib/*" -d "$work/java/classes" "$here/java/Checks.java"
}

prepare_kubelogin() {
    GOBIN=$work CGO_ENABLED=0 go install github.com/Azure/kubelogin@v0.2.20
}

prepare_az() {
    install_python "$here/az/requirements.txt" "$work/az"
}

# The variables of a program: the pair of App Service, and those of Terraform's provider.
below_exec() {
    "$broker" exec --data "$run/data" -- "$@"
}

play_go() {
    below_exec "$work/go-checks"
}

play_java() {
    below_exec java "${java_options[@]}" -cp "$work/java/classes:$work/java/lib/*" Checks
}

play_kubelogin() {
    KUBELOGIN=$work/kubelogin HOME=$run "$here/kubelogin/checks.sh"
}

play_az() {
    PATH=$work/az/venv/bin:$PATH AZURE_CONFIG_DIR=$run/az below_exec "$here/az/checks.sh"
}

# Each with the tools that it needs, and how many checks it makes.
declare -A tools=([go]=go [java]="mvn javac keytool" [az]=python3 [kubelogin]=go)
declare -A checks=([go]=9 [java]=5 [az]=15 [kubelogin]=2)
clients=()
skipped=()
declare -A builds=()
for client in go java az kubelogin; do
    missing=
    for tool in ${tools[$client]}; do
        command -v "$tool" >/dev/null || missing=$tool
    done
    if [[ -n $missing ]]; then
        echo "SKIPPED: $client, for there is no $missing here"
        skipped+=("$client")
        continue
    fi
    clients+=("$client")
    (
        set -e
        "prepare_$client"
        echo "$client: built within $SECONDS s"
    ) >"$work/$client.log" 2>&1 &
    builds[$client]=$!
done
for client in "${clients[@]}"; do
    wait "${builds[$client]}" || fail "cannot build $client: $(<"$work/$client.log")"
    tail -n 1 "$work/$client.log"
done

forget_environment
run=$(mktemp -d)
serve=
tear_down() {
    if [[ -n $serve ]]; then
        kill "$serve" 2>/dev/null || true
        wait "$serve" || true
    fi
    rm -rf "$run"
}
trap tear_down EXIT
trap 'exit 130' INT TERM

flags=(--world "$here/world.toml" --data "$run/data")
for endpoint in imds sts arm vault admin app-service; do
    flags+=("--$endpoint" 127.0.0.1:0)
done
"$broker" serve "${flags[@]}" >"$run/serve.out" 2>"$run/serve.err" &
serve=$!
await_ready "$serve" "$run"

printed() {
    sed -n "s/^$1 //p" "$run/serve.out"
}

# The clients call the server `localhost`, over TLS.
url() {
    local at
    at=$(printed "$1")
    echo "https://localhost:${at##*:}"
}
ARM_URL=$(url arm)
STS_URL=$(url sts)
OPERATOR_PEM=$run/data/operator.pem
OPERATOR_ID=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["client_id"])' <"$run/data/operator.json")
# As in world.toml.
TENANT_ID=7e4a9700-0000-4000-8000-000000000001
SUBSCRIPTION_ID=50b50000-0000-4000-8000-000000000001
APP_ID=c11e0000-0000-4000-8000-0000000000d1
APP_SECRET="correct horse & battery+staple"
WEB_ID=c11e0000-0000-4000-8000-0000000000f1
# The token of the machine, in a file as a platform puts it there. The folder is private.
FEDERATED_TOKEN_FILE=$run/federated-token
python3 - "$(printed imds)" >"$FEDERATED_TOKEN_FILE" <<'EOF'
import json, sys, urllib.request
query = "api-version=2018-02-01&resource=api://AzureADTokenExchange"
request = urllib.request.Request(f"{sys.argv[1]}/metadata/identity/oauth2/token?{query}")
request.add_header("Metadata", "true")
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
    print(json.load(answer)["access_token"], end="")
EOF
ca=$run/data/ca.pem
export ARM_URL STS_URL OPERATOR_PEM OPERATOR_ID TENANT_ID SUBSCRIPTION_ID APP_ID APP_SECRET
export WEB_ID FEDERATED_TOKEN_FILE
export SSL_CERT_FILE=$ca REQUESTS_CA_BUNDLE=$ca

java_options=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)
[[ " ${clients[*]} " != *" java "* ]] || java_trust "$ca" "$run"

expected=0
for client in "${clients[@]}"; do
    began=$SECONDS
    "play_$client" 2>"$run/$client.err" | tee -a "$run/verdicts" || tail -n 20 "$run/$client.err" >&2
    echo "$client: played in $((SECONDS - began)) s"
    expected=$((expected + checks[$client]))
done

kill -0 "$serve" 2>/dev/null || fail "the broker ended: $(cat "$run/serve.err")"
passed=$(grep -c '^ok: ' "$run/verdicts" || true)
failed=$(grep -c '^not ok: ' "$run/verdicts" || true)
((passed + failed == expected)) || fail "$((passed + failed)) checks ran, not $expected; $failed failed"
((failed == 0)) || tail -n 20 "$run/serve.err" >&2
echo "$passed checks passed, $failed failed${skipped[*]:+; SKIPPED: ${skipped[*]}}"
((failed == 0))
