#!/usr/bin/env bash
# Unmodified Azure SDKs as two virtual machines. First both machines are programs of this host, below
# `mintbench exec`. Then they are network namespaces, in which 169.254.169.254 port 80 and Azure's host
# names lead to a broker in a third one.
#
#   tests/netns/run.sh [path to mintbench]      (default: target/debug/mintbench)
#
#   vm-a 169.254.10.1 ---\                   169.254.169.254  IMDS, port 80
#                         broker's namespace 169.254.169.253  kv-demo.vault.azure.net
#   vm-b 169.254.10.2 ---/                   169.254.169.252  login.microsoftonline.com
#                                            169.254.169.251  management.azure.com
#
# Needs Python 3.11, node 20 with npm, go, a JDK with Maven, and cargo; a language whose tool is missing is
# skipped, and the last line says so. The namespaces need root and ip; without root they are skipped.
# What it builds stays in tests/netns/.work; of the machine's own network it changes nothing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
broker=$(realpath -m "${1:-$here/../../target/debug/mintbench}")
export NETNS_WORK=$here/.work
work=$NETNS_WORK
python=$work/venv/bin/python

source "$here/../lib.sh"

[[ -x $broker ]] || fail "$broker is not there; build it, or name the binary as the argument"
((EUID != 0)) || command -v ip >/dev/null || fail "there is no ip; install iproute2"
command -v python3 >/dev/null || fail "there is no python3; it judges what the SDKs get"

# ---------------------------------------------------------------------------------- building

prepare_python() {
    install_python "$here/python/requirements.txt" "$work"
}

prepare_js() {
    install_js "$here/js" "$work/js"
}

prepare_go() {
    (cd "$here/go" && CGO_ENABLED=0 go build -o "$work/go-checks" .)
}

prepare_java() {
    install_java "$here/java/pom.xml" "$work/java"
    javac -cp "$work/java/lib/*" -d "$work/java/classes" "$here/java/Checks.java"
}

prepare_rust() {
    CARGO_TARGET_DIR=$work/rust \
        cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml"
}

declare -A tools=([python]=python3 [js]=npm [go]=go [java]="mvn javac" [rust]=cargo)
languages=()
skipped=()
for language in python js go java rust; do
    missing=
    for tool in ${tools[$language]}; do
        command -v "$tool" >/dev/null || missing=$tool
    done
    if [[ -z $missing ]]; then
        languages+=("$language")
    else
        echo "SKIPPED: $language, for there is no $missing here"
        skipped+=("$language")
    fi
done

# All at once: some wait for the network while others compile. Another run waits for this one.
mkdir -p "$work"
exec {lock}>"$work/lock"
flock "$lock"
declare -A builds=()
for language in "${languages[@]}"; do
    (
        set -e
        began=$SECONDS
        "prepare_$language"
        echo "$((SECONDS - began))" >"$work/$language.seconds"
    ) >"$work/$language.log" 2>&1 &
    builds[$language]=$!
done
broken=()
for language in "${languages[@]}"; do
    if wait "${builds[$language]}"; then
        echo "$language: built in $(<"$work/$language.seconds") s"
    else
        echo "$language: cannot be built:" >&2
        cat "$work/$language.log" >&2
        broken+=("$language")
    fi
done
((${#broken[@]} == 0)) || fail "cannot build ${broken[*]}"
exec {lock}>&-

# ---------------------------------------------------------------------------------- the checks

forget_environment
run=$(mktemp -d)
serve=
end_broker() {
    if [[ -n $serve ]]; then
        kill "$serve" 2>/dev/null || true
        wait "$serve" || true
    fi
    serve=
}
trap 'end_broker; rm -rf "$run"' EXIT
trap 'exit 130' INT TERM
: >"$run/verdicts"
java_options=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)

# Plays a program as a VM, by a command that gives it the surroundings of the VM, and judges it there. Tokens go
# to the judge through a pipe. Only a federated one is in a file for a moment, in a folder that others cannot read.
play() {
    local vm=$1 program=$2 began=$EPOCHREALTIME command environment
    shift 2
    case $program in
        python) command=("$python" "$here/python/checks.py") ;;
        js) command=(node "$here/js/checks.mjs") ;;
        go) command=("$work/go-checks") ;;
        java) command=(java "${java_options[@]}" -cp "$work/java/classes:$work/java/lib/*" Checks) ;;
        rust) command=("$work/rust/debug/netns-checks") ;;
        *) command=("$python" "$here/python/$program.py") ;;
    esac
    mapfile -t environment < <("$python" "$here/python/judge.py" "$vm" --env)
    local judge=("$python" "$here/python/judge.py" "$vm" "$program${where:+ $where}") errors=$run/$vm-$program.err
    environment+=("FEDERATED_TOKEN_FILE=$run/$vm-$program.token" "ERRORS=$errors" "JUDGE=$(printf '%q ' "${judge[@]}")")
    # Each takes seconds; one that waits for minutes hangs. `exec` says where the token service is.
    # shellcheck disable=SC2016 # the shell below expands it
    "$@" env "${environment[@]}" bash -o pipefail -c '
        export STS_URL=${AZURE_AUTHORITY_HOST:-$STS_URL}
        timeout 120 "$@" 2>"$ERRORS" | eval "$JUDGE"' play "${command[@]}" |
        tee -a "$run/verdicts" || tail -n 20 "$errors" >&2
    echo "$vm $program${where:+ $where}: $(((${EPOCHREALTIME/./} - ${began/./}) / 1000)) ms"
}

# Plays languages as both VMs at the same time, below `exec` with these flags.
side_by_side() {
    local played=$1 vm lanes=() lane language
    shift
    for vm in vm-a vm-b; do
        for language in $played; do
            play "$vm" "$language" "$broker" exec "$@" --vm "$vm" --
        done &
        lanes+=("$!")
    done
    for lane in "${lanes[@]}"; do
        wait "$lane"
    done
}

# ---------------------------------------------------------------------------------- programs of one host

# Each program has a server of its own, and asks it as App Service: so Go and Rust find it without root.
where="below exec"
side_by_side "${languages[*]}" --world "$here/world.toml"
expected=$((2 * 8 * ${#languages[@]}))
# The SDK for Rust refuses resource ids there.
[[ " ${languages[*]} " != *" rust "* ]] || expected=$((expected - 4))

# Both machines have ports of one server, which is asked as a virtual machine asks.
shared=()
for language in "${languages[@]}"; do
    [[ $language != python && $language != js ]] || shared+=("$language")
done
mkdir "$run/host"
flags=()
for endpoint in imds sts arm vault admin; do
    flags+=("--$endpoint" 127.0.0.1:0)
done
"$broker" serve --world "$here/world.toml" --data "$run/host/data" "${flags[@]}" \
    >"$run/host/serve.out" 2>"$run/host/serve.err" &
serve=$!
await_ready "$serve" "$run/host"
where="at a port of its own"
side_by_side "${shared[*]}" --data "$run/host/data"
expected=$((expected + 2 * 8 * ${#shared[@]}))
end_broker
where=

# Says how many checks passed, and ends with success if all did.
sum_up() {
    local passed failed
    passed=$(grep -c '^ok: ' "$run/verdicts" || true)
    failed=$(grep -c '^not ok: ' "$run/verdicts" || true)
    ((passed + failed == expected)) || fail "$((passed + failed)) checks ran, not $expected; $failed failed"
    ((failed == 0)) || tail -n 20 "$run/serve.err" >&2 2>/dev/null || true
    echo "$passed checks passed, $failed failed${skipped[*]:+; SKIPPED: ${skipped[*]}}"
    ((failed == 0))
}

if ((EUID != 0)); then
    skipped+=("network namespaces, which need root")
    sum_up
    exit
fi

# ---------------------------------------------------------------------------------- network

# Names of this run alone, so that two runs do not meet.
host=mintbench-host-$$
declare -A netns=([vm-a]=mintbench-vm-a-$$ [vm-b]=mintbench-vm-b-$$)
declare -A address=([vm-a]=169.254.10.1 [vm-b]=169.254.10.2)
imds=169.254.169.254 vault=169.254.169.253 sts=169.254.169.252 arm=169.254.169.251

# Whatever happened: the broker ends, and nothing of the network stays.
tear_down() {
    end_broker
    local name
    for name in "$host" "${netns[@]}"; do
        ip netns delete "$name" 2>/dev/null || true
        rm -rf "/etc/netns/$name"
    done
    rm -rf "$run"
}
trap tear_down EXIT

in_host() { ip netns exec "$host" "$@"; }

ip netns add "$host"
in_host ip link set lo up
for there in "$imds" "$vault" "$sts" "$arm"; do
    in_host ip address add "$there/32" dev lo
done
# A link for each machine, not a bridge: what is sent to a machine's address leaves on its own link,
# so no other can hold a conversation from that address.
for vm in vm-a vm-b; do
    ns=${netns[$vm]}
    mkdir -p "/etc/netns/$ns"
    cat >"/etc/netns/$ns/hosts" <<END
127.0.0.1 localhost
$vault kv-demo.vault.azure.net
$sts login.microsoftonline.com
$arm management.azure.com
END
    ip netns add "$ns"
    ip link add "$vm" netns "$host" type veth peer name eth0 netns "$ns"
    in_host ip link set "$vm" up
    in_host ip route add "${address[$vm]}/32" dev "$vm"
    ip -n "$ns" link set lo up
    ip -n "$ns" link set eth0 up
    ip -n "$ns" address add "${address[$vm]}/32" dev eth0
    for there in "$imds" "$vault" "$sts" "$arm"; do
        ip -n "$ns" route add "$there/32" dev eth0
    done
done

# ---------------------------------------------------------------------------------- the broker

flags=(--imds "$imds:80" --admin 127.0.0.1:8171)
help=$("$broker" serve --help)
has() { grep -qE -- "^ +--$1( |\$)" <<<"$help"; }
tls=false vault_too=false
cp "$here/world.toml" "$run/world.toml"
if has host-name; then
    tls=true
    flags+=(--data "$run/state" --sts "$sts:443" --host-name kv-demo.vault.azure.net
        --host-name login.microsoftonline.com --host-name management.azure.com)
    export STS_URL=https://login.microsoftonline.com
else
    flags+=(--sts "$sts:80")
    export STS_URL=http://$sts
fi
has vault-uri && flags+=(--vault-uri 'https://{name}.vault.azure.net')
if has vault; then
    vault_too=true
    flags+=(--arm "$arm:443" --vault "$vault:443")
else
    echo "this broker has no --vault: secrets, roles and management are not checked"
    sed -i '/^# From here on/,$d' "$run/world.toml"
fi

ip netns exec "$host" "$broker" serve --world "$run/world.toml" "${flags[@]}" \
    >"$run/serve.out" 2>"$run/serve.err" &
serve=$!
await_ready "$serve" "$run"

if $tls; then
    ca=$run/state/ca.pem
    export SSL_CERT_FILE=$ca REQUESTS_CA_BUNDLE=$ca NODE_EXTRA_CA_CERTS=$ca
    if command -v keytool >/dev/null; then
        java_trust "$ca" "$run"
    fi
fi
if $vault_too; then
    export VAULT_URL=https://kv-demo.vault.azure.net OPERATOR=$run/state/operator
fi

# ---------------------------------------------------------------------------------- machines of their own

in_vm() {
    play "$1" "$2" ip netns exec "${netns[$1]}"
}

for vm in vm-a vm-b; do
    for language in "${languages[@]}"; do
        in_vm "$vm" "$language"
    done
done
each=8
expected=$((expected + 3))
if $vault_too; then
    each=14
    in_vm vm-a manage
    expected=$((expected + 17))
fi
# Last: it takes vm-b's address.
ip -n "${netns[vm-a]}" address add "${address[vm-b]}/32" dev eth0
in_vm vm-a reach
expected=$((expected + 2 * each * ${#languages[@]}))
# Of Rust, a federated token as well. Those of the other languages are in tests/sdk and tests/clients.
if $vault_too && [[ " ${languages[*]} " == *" rust "* ]]; then
    expected=$((expected + 2))
fi

kill -0 "$serve" 2>/dev/null || fail "the broker ended: $(cat "$run/serve.err")"
sum_up
