#!/usr/bin/env bash
# The checks of run.sh, which calls this script in namespaces of its own: network, mounts and processes.
#
#   checks.sh MINTBENCH WORK RUN      (the folders for what stays, and for what ends with the run)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(realpath "$here/../..")
mintbench=$1 work=$2 run=$3
source "$here/../lib.sh"
forget_environment

# ---------------------------------------------------------------------------------- podman

# Nothing of the machine's own containers is seen: locks, networks and state are below these folders.
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
ip link set lo up

# Without the unified hierarchy of cgroups, only runc starts containers. Docker's limits of open files and
# processes are more than some machines allow.
runtime=$(command -v crun || command -v runc)
[[ -e /sys/fs/cgroup/cgroup.controllers ]] || runtime=$(command -v runc)
cat >"$run/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
log_driver = "k8s-file"
seccomp_profile = "unconfined"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "$(basename "$runtime")"
[network]
network_backend = "netavark"
network_config_dir = "$run/networks"
END
# Whole copies of each layer take several times as long, but work everywhere.
driver=vfs
mkdir "$run"/{lower,upper,workdir,merged}
if mount -t overlay overlay -o "lowerdir=$run/lower,upperdir=$run/upper,workdir=$run/workdir" "$run/merged" 2>/dev/null; then
    umount "$run/merged"
    driver=overlay
fi
cat >"$run/storage.conf" <<END
[storage]
driver = "$driver"
graphroot = "$run/storage"
runroot = "/run/containers/storage"
END
export CONTAINERS_CONF=$run/containers.conf CONTAINERS_STORAGE_CONF=$run/storage.conf
# Timers of systemd would check the health outside these namespaces. The tests check it themselves.
export DISABLE_HC_SYSTEMD=true

compose() {
    "$work/venv/bin/podman-compose" "$@" >>"$run/compose.log" 2>&1
}

# Builds without pulling anything.
build() {
    podman build --quiet --format docker --isolation chroot --layers=false --pull=never "$@" >>"$run/build.log" 2>&1 ||
        fail "podman build $*: $(tail -n 20 "$run/build.log")"
}

# ---------------------------------------------------------------------------------- verdicts

passed=0 failed=0
# Runs a command, whose success is the verdict.
check() {
    local sentence=$1
    shift
    if "$@" >"$run/check.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok: $sentence"
    else
        failed=$((failed + 1))
        echo "not ok: $sentence: $(tail -n 20 "$run/check.log")"
    fi
}

# Runs the health check of the image until it passes, as an engine does.
await_healthy() {
    local deadline=$((SECONDS + 60))
    until [[ $(podman inspect -f '{{.State.Health.Status}}' "$1" 2>/dev/null) == healthy ]]; do
        podman healthcheck run "$1" >/dev/null 2>&1 || true
        ((SECONDS < deadline)) || fail "$1 is not healthy after 60 s: $(podman logs "$1" 2>&1 | tail -n 20)"
        sleep 0.2
    done
}

# Prints the container of a service.
container_of() {
    podman ps -aq --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.service=$2"
}

# Starts the services of a compose file. The server is healthy in the meantime: programs may wait for that.
up() {
    local file=$1 project=$2
    (
        deadline=$((SECONDS + 60))
        until [[ -n $(container_of "$project" mintbench) ]]; do
            ((SECONDS < deadline)) || fail "there is no container of $project after 60 s: $(tail "$run/compose.log")"
            sleep 0.2
        done
        await_healthy "$(container_of "$project" mintbench)"
    ) &
    local healthy=$!
    compose -f "$root/$file" up -d --no-build || fail "$file does not come up: $(tail -n 20 "$run/compose.log")"
    wait "$healthy"
}

# Succeeds if a container ends with an exit code and has printed a text.
ends_with() {
    local container=$1 code=$2 text=$3 ended output
    ended=$(timeout 60 podman wait "$container") || ended="none after 60 s"
    output=$(podman logs "$container" 2>&1)
    echo "exit code $ended: $output"
    [[ $ended == "$code" && $output == *"$text"* ]]
}

# Succeeds if the output of a command holds a text.
says() {
    local text=$1 output
    output=$("${@:2}" 2>&1) || true
    echo "$output"
    [[ $output == *"$text"* ]]
}

# Succeeds if a condition holds for the image, which is `i` as Python reads it.
image_has() {
    podman image inspect localhost/mintbench |
        python3 -c "import json, sys; [i] = json.load(sys.stdin); print(i); sys.exit(not ($1))"
}

# ---------------------------------------------------------------------------------- images

podman import --quiet "$work/base/root.tar" localhost/test-base >/dev/null

context=$run/context
mkdir -p "$context"/{containers,src/service/world}
cp "$root/containers/settings.toml" "$context/containers/"
cp "$root/src/service/world/demo.toml" "$context/src/service/world/"
strip -o "$context/mintbench" "$mintbench"
below=scratch
if libraries=$(ldd "$mintbench" | grep -o '/[^ ]*'); then
    below=localhost/test-libraries
    mkdir "$run/libraries"
    xargs cp -L --parents -t "$run/libraries" <<<"$libraries"
    tar -C "$run/libraries" -cf "$run/libraries.tar" .
    podman import --quiet "$run/libraries.tar" "$below" >/dev/null
fi
build -f "$root/Containerfile" -t localhost/mintbench --build-arg RUST=localhost/test-base \
    --build-arg BINARY=mintbench --build-arg BASE="$below" "$context"
build -t localhost/mintbench-example-app --build-arg BASE=localhost/test-base "$root/containers/app"
podman tag localhost/mintbench-example-app localhost/mintbench-example-other

size_bytes=$(podman save --quiet localhost/mintbench | wc -c)
echo "the image has $size_bytes bytes, on the base $below"
if [[ $mintbench == */debug/* ]]; then
    echo "SKIPPED: the size of the image, for this is a debug build"
else
    check "the image has less than 30 MB" test "$size_bytes" -lt 30000000
fi
check "the image is run by an ordinary user" image_has 'i["User"] == "65532:65532"'
check "the image has a health check without a shell" image_has 'i["Healthcheck"]["Test"] == ["CMD", "mintbench", "health"]'
check "the image keeps its data in a volume" image_has 'list(i["Config"]["Volumes"]) == ["/data"]'

printf 'FROM scratch\nCOPY . /\n' >"$run/Context"
build -f "$run/Context" -t localhost/test-context "$root"
mkdir "$run/seen"
podman save --quiet --format docker-dir -o "$run/saved" localhost/test-context
for layer in "$run"/saved/*; do
    tar -xf "$layer" -C "$run/seen" 2>/dev/null || true
done
check "the context of a build has the sources and nothing else" \
    test "$(cd "$run/seen" && echo ./* containers/*)" = \
    "./Cargo.lock ./Cargo.toml ./benches ./build.rs ./containers ./loadtests ./src ./templates containers/settings.toml"
version=$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml")
check "the build stage has the compiler of the project" grep -q "^ARG RUST=.*/rust:$version-" "$root/Containerfile"

# ---------------------------------------------------------------------------------- one container

token_path='/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'
ask() {
    curl -sS --max-time 10 -w '\n%{http_code}\n' -H 'Metadata: true' "http://127.0.0.1:$1$token_path"
}

# Without the folders in memory that podman adds to a root that cannot be written.
podman run --quiet -d --name lone --read-only --read-only-tmpfs=false --cap-drop all -p 127.0.0.1:8169:8169 localhost/mintbench >/dev/null
await_healthy lone
check "a program outside gets a token through a published port" says access_token ask 8169
podman run --quiet -d --name several -p 127.0.0.1:9169:8169 -v "$root/containers/worlds:/worlds:ro" localhost/mintbench \
    serve --seed-world /worlds/compose.subnet.toml >/dev/null
await_healthy several
check "in a world of several machines, a published port gives no identity" says 403 ask 9169
check "and the server says what to do" says "a published port hides their own addresses" podman logs several
podman rm --force --volumes lone several >/dev/null

# A volume of another owner, and one that everybody may write to.
mkdir "$run/mine" "$run/open"
chown 1234:1234 "$run/mine"
chmod 777 "$run/open"
podman run --quiet -d --name mine --read-only --user 1234:1234 -v "$run/mine:/data" localhost/mintbench >/dev/null
podman run --quiet -d --name open --read-only -v "$run/open:/data" localhost/mintbench >/dev/null
await_healthy mine
await_healthy open
check "a folder of the machine's user keeps the data" test -s "$run/mine/state/world.redb"
check "a volume for everybody keeps it, too, where only the server enters" \
    says 700:65532 stat -c %a:%u "$run/open/state"
podman rm --force --volumes mine open >/dev/null

# ---------------------------------------------------------------------------------- the real address

up compose.yaml mintbench
server=$(container_of mintbench mintbench)
app=$(container_of mintbench app)
check "azure-identity gets a token at 169.254.169.254" ends_with "$app" 0 /virtualMachines/app
check "the environment of this program names no endpoint" \
    sh -c "! podman inspect -f '{{.Config.Env}}' $app | grep -E 'AZURE|IDENTITY|IMDS|MSI|http'"
check "another container is refused this machine's identity" \
    ends_with "$(container_of mintbench other)" 1 "Identity not found"

# Runs the application as the machine with an address.
as_machine() {
    podman run --rm --cap-drop all --network "mintbench_azure:ip=$1" localhost/mintbench-example-app "${@:2}"
}
check "and gets its own" says /virtualMachines/other as_machine 169.254.169.11
check "the first one gets the identity that the other one asked for" \
    says /userAssignedIdentities/orders as_machine 169.254.169.10 python3 /app.py c11e0000-0000-4000-8000-00000000000a
check "a container that is no machine is refused" says "is not a virtual machine known" as_machine 169.254.169.99

# ---------------------------------------------------------------------------------- kill -9

keys() {
    as_machine 169.254.169.10 python3 -c 'import urllib.request
print(urllib.request.urlopen("http://169.254.169.254:8170/7e4a9700-0000-4000-8000-000000000001/discovery/v2.0/keys").read())'
}
podman exec "$server" mintbench vm create later --group shop --address 169.254.169.12 --system-assigned >"$run/check.log" 2>&1 ||
    fail "the world cannot be changed: $(cat "$run/check.log")"
podman exec "$server" mintbench world export >"$run/before"
keys >"$run/keys-before"
podman kill --signal KILL "$server" >/dev/null
podman wait "$server" >/dev/null
podman start "$server" >/dev/null
await_healthy "$server"
podman exec "$server" mintbench world export >"$run/after"
keys >"$run/keys-after"
check "kill -9 and a new start lose nothing of the world" cmp "$run/before" "$run/after"
check "nor the keys of tokens" cmp "$run/keys-before" "$run/keys-after"
check "a machine that was made before the kill gets a token" says /virtualMachines/later as_machine 169.254.169.12
compose -f "$root/compose.yaml" down --volumes || fail "compose down: $(tail -n 20 "$run/compose.log")"

# ---------------------------------------------------------------------------------- an ordinary subnet

up compose.subnet.yaml mintbench-subnet
check "azure-identity gets a token in an ordinary subnet" \
    ends_with "$(container_of mintbench-subnet app)" 0 /virtualMachines/app
check "where another container is refused, too" ends_with "$(container_of mintbench-subnet other)" 1 "Identity not found"
compose -f "$root/compose.subnet.yaml" down --volumes || fail "compose down: $(tail -n 20 "$run/compose.log")"

# ---------------------------------------------------------------------------------- secrets

# As docs/containers.md says: the vault at its real name, which a program trusts by the authority's certificate.
sed 's/^address = .*/address = "169.254.169.10"/' "$root/examples/world.toml" >"$run/world.toml"
podman network create --subnet 169.254.169.0/24 vaults >/dev/null
podman run --quiet -d --name keeper --read-only --cap-drop all --sysctl net.ipv4.ip_unprivileged_port_start=0 \
    --network vaults:ip=169.254.169.254,alias=shop-vault.vault.azure.net -v "$run/world.toml:/world.toml:ro" \
    localhost/mintbench serve --imds 169.254.169.254:80 --vault 0.0.0.0:443 \
    --vault-uri 'https://{name}.vault.azure.net' --seed-world /world.toml >/dev/null
await_healthy keeper
podman cp keeper:/data/state/ca.pem "$run/ca.pem"
cat >"$run/secret.py" <<'END'
import json, ssl, urllib.request
from azure.identity import ManagedIdentityCredential

token = ManagedIdentityCredential().get_token("https://vault.azure.net/.default").token
url = "https://shop-vault.vault.azure.net/secrets/db-password?api-version=7.4"
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
print(json.load(urllib.request.urlopen(request, context=ssl.create_default_context()))["value"])
END
chmod a+r "$run/ca.pem" "$run/secret.py" "$run/world.toml"
check "a container reads a secret at the real name of its vault" says "open sesame" \
    podman run --rm --cap-drop all --network vaults:ip=169.254.169.10 -e SSL_CERT_FILE=/ca.pem \
    -v "$run/ca.pem:/ca.pem:ro" -v "$run/secret.py:/secret.py:ro" localhost/mintbench-example-app python3 /secret.py
podman rm --force --volumes keeper >/dev/null

echo "$passed passed, $failed failed"
((failed == 0))
