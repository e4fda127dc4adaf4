#!/usr/bin/env bash
# kubelogin, which kubectl asks for a token: one line for each check, in the words that run.sh counts.
set -euo pipefail

# Prints the token for the control plane. MSAL asks the public cloud about every authority that it does not know, unless
# it is told not to.
get_token() {
    "$KUBELOGIN" get-token --login workloadidentity --server-id https://management.azure.com \
        --authority-host "$STS_URL/" --disable-instance-discovery --tenant-id "$TENANT_ID" --client-id "$1" \
        --federated-token-file "$FEDERATED_TOKEN_FILE"
}

# Succeeds if the subscription is shown to whoever has the token of standard input, an ExecCredential of kubectl.
sees_subscription() {
    python3 -c '
import json, os, ssl, sys, urllib.request
credential = json.load(sys.stdin)
assert credential["kind"] == "ExecCredential", credential["kind"]
request = urllib.request.Request(os.environ["ARM_URL"] + "/subscriptions?api-version=2022-12-01")
request.add_header("Authorization", "Bearer " + credential["status"]["token"])
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
with urllib.request.urlopen(request, context=context) as answer:
    assert os.environ["SUBSCRIPTION_ID"] in answer.read().decode()
'
}

sentence="kubelogin logs in with a federated token"
if said=$({ get_token "$WEB_ID" | sees_subscription; } 2>&1); then
    echo "ok: $sentence"
else
    echo "not ok: $sentence: ${said//$'\n'/ }"
fi

sentence="kubelogin is refused for an application that does not trust the token"
if said=$(get_token "$APP_ID" 2>&1 >/dev/null); then
    echo "not ok: $sentence: it was given a token"
elif [[ $said == *AADSTS700213* ]]; then
    echo "ok: $sentence"
else
    echo "not ok: $sentence: ${said//$'\n'/ }"
fi
