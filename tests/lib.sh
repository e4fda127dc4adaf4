# Shared by the run.sh of sdk, netns and clients, which source it.

fail() {
    echo "error: $*" >&2
    exit 1
}

# The SDKs and the broker read these too; only what a test sets may decide.
forget_environment() {
    local own='^(ARM_|AZURE_|MSI_|IDENTITY_|IMDS_|MINTBENCH_|SSL_CERT_|JAVA_TOOL)'
    local name
    for name in $(compgen -e | grep -E "$own|_CA_(BUNDLE|CERTS)\$|_proxy\$|_PROXY\$" || true); do
        unset "$name"
    done
}

# The three installers take a pinned list and a folder, and do nothing if the folder has that list's
# packages from the last time.

install_python() {
    local list=$1 into=$2
    cmp -s "$list" "$into/requirements.txt" && return
    mkdir -p "$into"
    rm -rf "$into/venv"
    python3 -m venv "$into/venv"
    # Python compiles what it imports; to compile all takes longer than to install it.
    "$into/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps -r "$list"
    cp "$list" "$into/requirements.txt"
}

# Its list is the folder of package.json, package-lock.json and .npmrc.
install_js() {
    local list=$1 into=$2
    cmp -s "$list/package-lock.json" "$into/installed.json" && return
    mkdir -p "$into"
    cp "$list/"{package.json,package-lock.json,.npmrc} "$into/"
    (cd "$into" && npm ci --silent)
    cp "$list/package-lock.json" "$into/installed.json"
}

install_java() {
    local list=$1 into=$2
    cmp -s "$list" "$into/pom.xml" && return
    rm -rf "$into"
    mvn -q -B -f "$list" org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$into/lib"
    cp "$list" "$into/"
}

# Waits until the broker of this pid is ready; its output is in FOLDER/serve.out and serve.err.
await_ready() {
    local pid=$1 folder=$2 deadline=$((SECONDS + 20))
    until grep -qx ready "$folder/serve.out"; do
        kill -0 "$pid" 2>/dev/null || fail "the broker ended: $(cat "$folder/serve.err")"
        ((SECONDS < deadline)) || fail "the broker was not ready within 20 s"
        sleep 0.05
    done
}

# Options for java, by which it trusts the authority of CA; the key store is made in FOLDER.
java_trust() {
    local ca=$1 folder=$2
    rm -f "$folder/trust.p12"
    keytool -importcert -noprompt -alias mintbench -file "$ca" -keystore "$folder/trust.p12" \
        -storetype PKCS12 -storepass mintbench 2>"$folder/keytool.log" ||
        fail "$(cat "$folder/keytool.log")"
    java_options+=("-Djavax.net.ssl.trustStore=$folder/trust.p12"
        -Djavax.net.ssl.trustStorePassword=mintbench)
}
