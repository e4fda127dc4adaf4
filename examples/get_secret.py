"""Reads a secret with the machine's identity, through the Azure SDK as it is.

    pip install azure-identity azure-keyvault-secrets
    VAULT_URI=... SSL_CERT_FILE=mintbench-data/ca.pem python3 examples/get_secret.py db-password

AZURE_POD_IDENTITY_AUTHORITY_HOST leads the SDK to the identity endpoint.
"""

import os
import sys

from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

client = SecretClient(
    os.environ["VAULT_URI"],
    # For a user-assigned identity: ManagedIdentityCredential(client_id="...").
    ManagedIdentityCredential(),
    # The SDK expects a host below vault.azure.net. Leave both options out for a vault in Azure.
    verify_challenge_resource=False,
    connection_verify=os.environ["SSL_CERT_FILE"],
)
print(client.get_secret(sys.argv[1]).value)
