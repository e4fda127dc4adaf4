#!/usr/bin/env bash
# az in a cloud that it registers by the URL of the control plane alone: one line for each check, in the
# words that run.sh counts.
set -euo pipefail

# `mintbench exec` sets the other variables.
export AZURE_CORE_COLLECT_TELEMETRY=no
cloud=mintbench
group=rg
scope=/subscriptions/$SUBSCRIPTION_ID/resourceGroups/$group

# Whether the command succeeds and prints a line that is EXPECTED.
check() {
    local sentence=$1 expected=$2 output
    shift 2
    if output=$("$@" 2>&1) && grep -qxF -- "$expected" <<<"$output"; then
        echo "ok: $sentence"
    else
        echo "not ok: $sentence: $(tail -n 3 <<<"$output" | tr '\n' ' ')"
    fi
}

az cloud register --name "$cloud" --endpoint-resource-manager "https://$ARM_METADATA_HOSTNAME"
check "az finds the token service by the control plane" "$STS_URL" \
    az cloud show --name "$cloud" --query endpoints.activeDirectory --output tsv
az cloud set --name "$cloud" 2>/dev/null

login=(az login --service-principal --tenant "$TENANT_ID" --query '[].id' --output tsv)
check "az logs in with a secret" "$SUBSCRIPTION_ID" \
    "${login[@]}" --username "$APP_ID" --password "$APP_SECRET"
check "az lists groups" "$group" az group list --query '[].name' --output tsv
check "az creates an identity" made \
    az identity create --name made --resource-group "$group" --query name --output tsv
check "az lists identities" made az identity list --query '[].name' --output tsv
check "az lists virtual machines" vm-1 az vm list --query '[].name' --output tsv
check "az lists vaults" kv-demo az keyvault list --query '[].name' --output tsv
principal=$(az identity show --name made --resource-group "$group" --query principalId --output tsv)
check "az gives the identity a role" "$scope" \
    az role assignment create --role Reader --scope "$scope" --assignee-object-id "$principal" \
    --assignee-principal-type ServicePrincipal --query scope --output tsv
check "az lists role assignments" "$principal" \
    az role assignment list --scope "$scope" --query '[].principalId' --output tsv

certificate=(--username "$OPERATOR_ID" --certificate "$OPERATOR_PEM")
check "az logs in with a certificate" "$SUBSCRIPTION_ID" "${login[@]}" "${certificate[@]}"
check "az logs in with a certificate that it brings" "$SUBSCRIPTION_ID" \
    "${login[@]}" "${certificate[@]}" --use-cert-sn-issuer
check "az logs in with a federated token" "$SUBSCRIPTION_ID" \
    "${login[@]}" --username "$WEB_ID" --federated-token "$(<"$FEDERATED_TOKEN_FILE")"

machine=(az login --identity --query '[].id' --output tsv)
check "az logs in as a virtual machine, by the endpoint of App Service" "$SUBSCRIPTION_ID" "${machine[@]}"
check "az lists groups as a virtual machine" "$group" az group list --query '[].name' --output tsv
check "az logs in as a virtual machine, by its identity endpoint" "$SUBSCRIPTION_ID" \
    env --unset IDENTITY_ENDPOINT --unset IDENTITY_HEADER "${machine[@]}"
