#!/usr/bin/env bash
# Gets a token for the machine's identity and reads a secret with it.
#
#   VAULT_URI=... SSL_CERT_FILE=mintbench-data/ca.pem examples/get_secret.sh db-password
#
# Needs curl and sed. The identity endpoint is at its usual address unless AZURE_POD_IDENTITY_AUTHORITY_HOST is set.
set -euo pipefail

secret=${1:?name a secret}
imds=${AZURE_POD_IDENTITY_AUTHORITY_HOST:-http://169.254.169.254}

token=$(curl -sS --fail-with-body --get -H 'Metadata: true' \
    --data-urlencode 'api-version=2018-02-01' \
    --data-urlencode 'resource=https://vault.azure.net' \
    "$imds/metadata/identity/oauth2/token" | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')

# The header comes from a pipe, because all users of a machine can read command lines.
answer=$(printf 'Authorization: Bearer %s\n' "$token" |
    curl -sS --fail-with-body --cacert "$SSL_CERT_FILE" -H @- "${VAULT_URI%/}/secrets/$secret?api-version=7.4") ||
    { echo "$answer" >&2; exit 1; }
sed -n 's/.*"value": *"\([^"]*\)".*/\1/p' <<<"$answer"
