"""The Python SDK's part: one line for each check, in the words that judge.py reads."""

import os
import re

from azure.core.exceptions import AzureError
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

ARM, VAULT = "https://management.azure.com", "https://vault.azure.net"
ENV = os.environ


def line(*fields):
    print("\t".join(re.sub("[\t\r\n]", " ", field) for field in fields), flush=True)


def explain(error):
    return f"{type(error).__name__}: {error}"


def ask(audience, options):
    with ManagedIdentityCredential(**options) as credential:
        return credential.get_token(f"{audience}/.default").token


def read(name, options):
    with ManagedIdentityCredential(**options) as credential:
        with SecretClient(ENV["VAULT_URL"], credential) as client:
            return client.get_secret(name).value


def token(sentence, who, audience, options):
    try:
        line("token", sentence, who, audience, ask(audience, options))
    except AzureError as error:
        line("failed", sentence, explain(error))


def no_token(sentence, options):
    try:
        ask(VAULT, options)
        line("failed", sentence, "it was given a token")
    except AzureError as error:
        line("refused", sentence, "Identity not found", explain(error))


def secret(sentence, name, options):
    try:
        line("secret", sentence, name, read(name, options))
    except AzureError as error:
        line("failed", sentence, explain(error))


def no_secret(sentence, name, options):
    try:
        read(name, options)
        line("failed", sentence, "it was given the secret")
    except AzureError as error:
        line("refused", sentence, "Forbidden", explain(error))


def by_client(name):
    return {"client_id": ENV[name]}


def by(key, name):
    return {"identity_config": {key: ENV[name]}}


def main():
    own, shared = by_client("OWN_CLIENT_ID"), by_client("SHARED_CLIENT_ID")
    token("a token of the system-assigned identity", "system", ARM, {})
    token("a token by client id", "own", VAULT, own)
    token("a token by object id", "own", VAULT, by("object_id", "OWN_OBJECT_ID"))
    token("a token by resource id", "own", VAULT, by("resource_id", "OWN_RESOURCE_ID"))
    token("a token of the shared identity", "shared", ARM, shared)
    no_token("no token by the other VM's client id", by_client("OTHER_CLIENT_ID"))
    no_token("no token by the other VM's object id", by("object_id", "OTHER_OBJECT_ID"))
    no_token("no token by the other VM's resource id", by("resource_id", "OTHER_RESOURCE_ID"))

    if "VAULT_URL" not in ENV:
        return
    mine, theirs = ENV["OWN_SECRET"], ENV["OTHER_SECRET"]
    secret("the system-assigned identity reads its secret", mine, {})
    secret("the user-assigned identity reads its secret", mine, own)
    secret("the shared identity reads its secret", ENV["SHARED_SECRET"], shared)
    no_secret("the system-assigned identity is refused the other VM's secret", theirs, {})
    no_secret("the user-assigned identity is refused the other VM's secret", theirs, own)
    no_secret("the shared identity is refused the VM's own secret", mine, shared)


main()
