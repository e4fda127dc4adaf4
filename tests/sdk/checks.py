"""Plays the Python SDKs against a broker, and judges their tokens and those of the JavaScript SDK.

Reads checks.mjs's lines on standard input, the world from world.toml beside it, and from the
environment STS_URL, AUTHORITY_HOST, OPERATOR and what the SDKs themselves look at. Prints one line per
check.
"""

import asyncio
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import sys
import tempfile
import threading
import tomllib
from unittest import mock

import jwt
import msal
import requests
from azure.identity import CertificateCredential, CredentialUnavailableError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.identity import WorkloadIdentityCredential
from azure.identity import aio
from azure.keyvault.keys import JsonWebKey, KeyClient, KeyRotationLifetimeAction
from azure.keyvault.keys import KeyRotationPolicy, KeyRotationPolicyAction
from azure.keyvault.keys.crypto import EncryptionAlgorithm, SignatureAlgorithm
from azure.keyvault.secrets import SecretClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

WORLD = tomllib.loads((pathlib.Path(__file__).parent / "world.toml").read_text())
TENANT = WORLD["tenants"][0]["id"]
APP = WORLD["user_assigned"][0]
OPERATOR = json.loads(pathlib.Path(f"{os.environ['OPERATOR']}.json").read_text())
IDENTITIES = {
    "system": WORLD["vms"][0]["system_assigned"],
    "slow": WORLD["vms"][1]["system_assigned"],
    "app": APP,
    "operator": {"client_id": OPERATOR["client_id"], "principal_id": OPERATOR["object_id"]},
}
APP_ID = (
    f"/subscriptions/{APP['subscription']}/resourceGroups/{APP['resource_group']}/providers"
    f"/Microsoft.ManagedIdentity/userAssignedIdentities/{APP['name']}"
)
NOBODY = os.environ["OTHER_CLIENT_ID"]
ARM, VAULT = "https://management.azure.com", "https://vault.azure.net"
KEYS = jwt.PyJWKClient(f"{os.environ['STS_URL']}/{TENANT}/discovery/v2.0/keys")


def verify(token, who, audience):
    """Raises unless the token is good and of that identity; returns what it says."""
    key = KEYS.get_signing_key_from_jwt(token)
    required = ["aud", "exp", "iat", "iss", "nbf", "oid", "appid", "sub", "tid"]
    claims = jwt.decode(
        token, key, algorithms=["RS256"], audience=audience, options={"require": required}
    )
    identity = IDENTITIES[who]
    expected = {
        "oid": identity["principal_id"],
        "sub": identity["principal_id"],
        "appid": identity["client_id"],
        "tid": TENANT,
        "iss": f"https://sts.windows.net/{TENANT}/",
    }
    wrong = {name: claims[name] for name in expected if claims[name] != expected[name]}
    assert not wrong, f"the token says {wrong}, the world {expected}"
    return f"oid={claims['oid']} appid={claims['appid']}"


def identity(who, audience, credential):
    with credential:
        return verify(credential.get_token(f"{audience}/.default").token, who, audience)


def operator(kind):
    return kind(
        TENANT, OPERATOR["client_id"], f"{os.environ['OPERATOR']}.pem",
        authority=f"https://{os.environ['AUTHORITY_HOST']}", disable_instance_discovery=True,
    )


async def asynchronous(who, audience, credential):
    async with credential:
        token = await credential.get_token(f"{audience}/.default")
    return verify(token.token, who, audience)


def msal_client(managed_identity):
    return msal.ManagedIdentityClient(managed_identity, http_client=requests.Session())


def msal_token(who, audience, managed_identity):
    answer = msal_client(managed_identity).acquire_token_for_client(resource=audience)
    assert "access_token" in answer, answer
    return verify(answer["access_token"], who, audience)


@contextlib.contextmanager
def app_service():
    """The environment of a program in App Service."""
    own = {
        "IDENTITY_ENDPOINT": os.environ["APP_SERVICE_ENDPOINT"],
        "IDENTITY_HEADER": os.environ["APP_SERVICE_HEADER"],
    }
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            del os.environ[name]


def in_app_service(check, *args, **options):
    with app_service():
        return check(*args, **options)


def refusals():
    """How often the broker has answered 429."""
    metrics = requests.get(f"{os.environ['ADMIN_URL']}/metrics").text
    counter = 'mintbench_imds_responses_total{status="429"} '
    return next(int(line[len(counter):]) for line in metrics.splitlines() if line.startswith(counter))


def throttled():
    """azure-identity asks again until the limit of its machine lets it through."""
    host = os.environ["SLOW_HOST"]
    url = f"{host}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={ARM}"
    with mock.patch.dict(os.environ, AZURE_POD_IDENTITY_AUTHORITY_HOST=host):
        # Where the SDK was too slow to meet the limit, it is tried once more.
        for _ in range(10):
            while requests.get(url, headers={"Metadata": "true"}).status_code != 429:
                pass
            before = refusals()
            said = identity("slow", ARM, ManagedIdentityCredential())
            if refusals() > before:
                return f"{said} after {refusals() - before} refusals"
    raise AssertionError("it was never refused")


def federated():
    with ManagedIdentityCredential() as machine:
        token = machine.get_token("api://AzureADTokenExchange/.default").token
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(token)
        file.flush()
        credential = WorkloadIdentityCredential(
            tenant_id=TENANT, client_id=APP["client_id"], token_file_path=file.name,
            authority=f"https://{os.environ['AUTHORITY_HOST']}", disable_instance_discovery=True,
        )
        return identity("app", VAULT, credential)


def refused_by_identity():
    try:
        with ManagedIdentityCredential(client_id=NOBODY) as credential:
            credential.get_token(f"{VAULT}/.default")
    except CredentialUnavailableError as error:
        assert "Identity not found" in str(error), error
        return type(error).__name__
    raise AssertionError("it was given a token")


def refused_by_msal():
    nobody = msal.UserAssignedManagedIdentity(client_id=NOBODY)
    answer = msal_client(nobody).acquire_token_for_client(resource=VAULT)
    expected = {"error": "invalid_request", "error_description": "Identity not found"}
    assert answer == expected, answer
    return answer["error_description"]


def vault_client(kind, uri):
    return kind(
        uri,
        ManagedIdentityCredential(),
        verify_challenge_resource=False,
        connection_verify=f"{os.environ['MINTBENCH_DATA']}/ca.pem",
    )


def vault(properties):
    uri = properties["vaultUri"]
    with vault_client(SecretClient, uri) as client:
        client.set_secret("db-password", uri)
        backup = client.backup_secret("db-password")
        client.begin_delete_secret("db-password").wait()
        client.purge_deleted_secret("db-password")
        client.restore_secret_backup(backup)
        assert client.get_secret("db-password").value == uri
    return uri


def signs(properties):
    """OpenSSL verifies what the vault signs, with a key that the vault made and rotated."""
    uri = properties["vaultUri"]
    digest = hashlib.sha256(uri.encode()).digest()
    with vault_client(KeyClient, uri) as client:
        made = client.create_ec_key("signer", curve="P-256")
        assert made.key.d is None, "the private part is shown"
        signed = client.get_cryptography_client("signer").sign(SignatureAlgorithm.es256, digest)
        r, s = (int.from_bytes(half) for half in (signed.signature[:32], signed.signature[32:]))
        x, y = (int.from_bytes(number) for number in (made.key.x, made.key.y))
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        public.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256())))

        after = KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P60D")
        client.update_key_rotation_policy(
            "signer", KeyRotationPolicy(), lifetime_actions=[after], expires_in="P90D"
        )
        rotated = client.rotate_key("signer").properties
        life = rotated.expires_on - rotated.created_on
        assert rotated.version != made.properties.version and life.days == 90, life
        assert len(list(client.list_properties_of_key_versions("signer"))) == 2

        backup = client.backup_key("signer")
        client.begin_delete_key("signer").wait()
        client.purge_deleted_key("signer")
        assert client.restore_key_backup(backup).properties.version == rotated.version
    return uri


def decrypts(properties):
    """The vault decrypts what OpenSSL encrypts, with a key that OpenSSL made."""
    uri = properties["vaultUri"]
    own = rsa.generate_private_key(65537, 2048)
    numbers = own.private_numbers()
    parts = {
        "n": numbers.public_numbers.n, "e": numbers.public_numbers.e, "d": numbers.d,
        "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp,
    }
    parts = {name: part.to_bytes((part.bit_length() + 7) // 8) for name, part in parts.items()}
    sha256 = hashes.SHA256()
    oaep = padding.OAEP(padding.MGF1(sha256), sha256, None)
    digest = hashlib.sha256(uri.encode()).digest()
    with vault_client(KeyClient, uri) as client:
        key_ops = ["decrypt", "sign", "unwrapKey"]
        client.import_key("imported", JsonWebKey(kty="RSA", key_ops=key_ops, **parts))
        shown = client.get_key("imported").key
        assert shown.n == parts["n"] and shown.d is None and shown.p is None
        crypto = client.get_cryptography_client("imported")
        sealed = own.public_key().encrypt(b"open sesame", oaep)
        opened = crypto.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed).plaintext
        assert opened == b"open sesame", opened
        signature = crypto.sign(SignatureAlgorithm.ps256, digest).signature
        pss = padding.PSS(padding.MGF1(sha256), 32)
        own.public_key().verify(signature, digest, pss, Prehashed(sha256))
    return uri


def javascript(record):
    if record["who"] == "keys":
        assert "value" in record, record.get("error")
        return record["value"]
    if record["who"] == "nobody":
        error = record.get("error", "it was given a token")
        assert "Identity not found" in error, error
        return error.partition(":")[0]
    assert "token" in record, record.get("error")
    return verify(record["token"], record["who"], record["audience"])


def refused_by_library(token):
    """Returns PyJWT's reason against a token, or None if it accepts the token."""
    try:
        # A token without a key id is tried with a published key.
        named = "kid" in jwt.get_unverified_header(token)
        key = KEYS.get_signing_key_from_jwt(token) if named else KEYS.get_signing_keys()[0]
        issuer = f"https://sts.windows.net/{TENANT}/"
        jwt.decode(token, key, algorithms=["RS256"], audience=VAULT, issuer=issuer)
    except jwt.PyJWTError as error:
        return type(error).__name__
    return None


class Resource(http.server.BaseHTTPRequestHandler):
    """A resource in Python's own server, which says whether PyJWT accepts the token."""

    def do_GET(self):
        token = self.headers["Authorization"].removeprefix("Bearer ")
        self.send_response(401 if refused_by_library(token) else 200)
        self.end_headers()

    def log_message(self, *_):
        """Writes nothing."""


def status_at(url, token):
    try:
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20).status_code
    except requests.ConnectionError:
        # The server closes before it has read a header that is too long, so its answer may be lost.
        return 431


def refuses_broken_tokens():
    with ManagedIdentityCredential() as machine:
        good = machine.get_token(f"{VAULT}/.default").token
    secret = pathlib.Path(os.environ["ADMIN_SECRET_FILE"]).read_text().strip()
    answer = requests.post(
        f"{os.environ['ADMIN_URL']}/tokens/broken", data=good, timeout=20,
        headers={"Authorization": f"Bearer {secret}"},
    )
    answer.raise_for_status()
    reasons = {flaw: refused_by_library(token) for flaw, token in answer.json().items()}
    # Its signature and its claims are right.
    assert reasons.pop("oversized") is None
    accepted = [flaw for flaw, reason in reasons.items() if reason is None]
    assert not accepted and len(reasons) == 8, f"accepted: {accepted} of {reasons}"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Resource)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    with server:
        tokens = {"none": good, **answer.json()}
        statuses = {flaw: status_at(url, token) for flaw, token in tokens.items()}
        server.shutdown()
    expected = {flaw: 401 for flaw in answer.json()} | {"none": 200, "oversized": 431}
    assert statuses == expected, statuses
    return ", ".join(sorted(set(reasons.values())))


CHECKS = [
    ("azure-identity gets a token of the system-assigned identity",
     lambda: identity("system", ARM, ManagedIdentityCredential())),
    ("azure-identity gets a token of a user-assigned identity by its client_id",
     lambda: identity("app", VAULT, ManagedIdentityCredential(client_id=APP["client_id"]))),
    ("azure-identity gets a token of a user-assigned identity by its principal",
     lambda: identity("app", VAULT, ManagedIdentityCredential(
         identity_config={"object_id": APP["principal_id"]}))),
    ("azure-identity gets a token of a user-assigned identity by its resource id",
     lambda: identity("app", VAULT, ManagedIdentityCredential(
         identity_config={"resource_id": APP_ID}))),
    ("azure-identity's DefaultAzureCredential finds the identity of the machine",
     lambda: identity("system", ARM, DefaultAzureCredential())),
    ("azure-identity reports an identity that the machine has not", refused_by_identity),
    ("azure-identity asks again when it is throttled", throttled),
    ("azure-identity logs in with a certificate",
     lambda: identity("operator", ARM, operator(CertificateCredential))),
    ("azure-identity's asynchronous credential logs in with a certificate",
     lambda: asyncio.run(asynchronous("operator", VAULT, operator(aio.CertificateCredential)))),
    ("azure-identity exchanges a token of the machine for one of another identity", federated),
    ("azure-identity gets a token from App Service",
     lambda: in_app_service(lambda: identity("system", ARM, ManagedIdentityCredential()))),
    ("azure-identity gets a token of a user-assigned identity from App Service",
     lambda: in_app_service(lambda: identity("app", VAULT, ManagedIdentityCredential(
         client_id=APP["client_id"])))),
    ("MSAL gets a token of a user-assigned identity from App Service by its resource id",
     lambda: in_app_service(msal_token, "app", VAULT, msal.UserAssignedManagedIdentity(
         resource_id=APP_ID))),
    ("MSAL gets a token of the system-assigned identity",
     lambda: msal_token("system", ARM, msal.SystemAssignedManagedIdentity())),
    ("MSAL gets a token of a user-assigned identity by its client_id",
     lambda: msal_token("app", VAULT, msal.UserAssignedManagedIdentity(
         client_id=APP["client_id"]))),
    ("MSAL reports an identity that the machine has not", refused_by_msal),
    ("PyJWT, or the server before it, refuses every broken token", refuses_broken_tokens),
]


def main():
    checks = list(CHECKS)
    for line in sys.stdin:
        record = json.loads(line)
        checks.append((record["sentence"], lambda record=record: javascript(record)))
    for own in json.loads(os.environ["VAULTS"]):
        sentence = f"azure-keyvault-secrets sets, purges and restores a secret in {own['name']}"
        checks.append((sentence, lambda own=own: vault(own["properties"])))
        sentence = f"azure-keyvault-keys signs, rotates, purges and restores a key in {own['name']}"
        checks.append((sentence, lambda own=own: signs(own["properties"])))
        sentence = f"azure-keyvault-keys imports a key and decrypts with it in {own['name']}"
        checks.append((sentence, lambda own=own: decrypts(own["properties"])))
    for sentence, check in checks:
        try:
            print(f"ok {sentence} ({check()})", flush=True)
        except Exception as error:  # pylint: disable=broad-except  # every failure is a verdict
            print(f"not ok {sentence}: {type(error).__name__}: {error}", flush=True)


main()
