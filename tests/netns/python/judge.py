"""Judges what the SDKs' programs report, one verdict a line: the programs only ask and tell.

    judge.py vm-a go        reads a program's lines on standard input
    judge.py vm-a --env     prints what the programs find in their environment, as NAME=value

Each line of a program is one check, its fields parted by tabs:

    token    sentence  who  audience  JWT     whose claims must be of that identity of the VM
    secret   sentence  name  value            which must be the one in the world
    refused  sentence  word  error            where the word is what must have been the reason
    ok       sentence                         which the program itself judged
    failed   sentence  error

Reads ../world.toml; STS_URL says where the keys are with which signatures are checked.
"""

import os
import pathlib
import sys
import tomllib

import jwt

WORLD = tomllib.loads((pathlib.Path(__file__).parents[1] / "world.toml").read_text())
TENANT = WORLD["tenants"][0]["id"]
VMS = {vm["name"]: vm for vm in WORLD["vms"]}
IDENTITIES = {identity["name"]: identity for identity in WORLD["user_assigned"]}
SECRETS = {secret["name"]: secret["value"] for secret in WORLD["secrets"]}


def resource_id(item, kind, groups="resourceGroups"):
    return (
        f"/subscriptions/{item['subscription']}/{groups}/{item['resource_group']}"
        f"/providers/{kind}/{item['name']}"
    )


def own(vm):
    """The user-assigned identity that this VM alone has."""
    return IDENTITIES[vm["user_assigned"][0]]


def identity(vm, who):
    """Its ids, and the resource that a token names."""
    if who == "system":
        ids, item, kind = vm["system_assigned"], vm, "Microsoft.Compute/virtualMachines"
    else:
        item = own(vm) if who == "own" else IDENTITIES[who]
        ids, kind = item, "Microsoft.ManagedIdentity/userAssignedIdentities"
    return ids, resource_id(item, kind, groups="resourcegroups")


def environment(vm):
    other = next(other for other in VMS.values() if other is not vm)
    for prefix, item in [("OWN", own(vm)), ("OTHER", own(other)), ("SHARED", IDENTITIES["shared"])]:
        yield f"{prefix}_CLIENT_ID", item["client_id"]
        yield f"{prefix}_OBJECT_ID", item["principal_id"]
        kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
        yield f"{prefix}_RESOURCE_ID", resource_id(item, kind)
    for prefix, name in [("OWN", vm["name"]), ("OTHER", other["name"])]:
        yield f"{prefix}_SECRET", f"{name.removeprefix('vm-')}-secret"
    yield "SHARED_SECRET", "shared-secret"
    yield "SYSTEM_OBJECT_ID", vm["system_assigned"]["principal_id"]
    yield "SUBSCRIPTION", vm["subscription"]
    yield "TENANT_ID", TENANT


class Judge:
    def __init__(self, vm):
        self.vm = vm
        url = f"{os.environ['STS_URL']}/{TENANT}/discovery/v2.0/keys"
        self.keys = jwt.PyJWKClient(url)

    def token(self, who, audience, token):
        ids, resource = identity(self.vm, who)
        claims = jwt.decode(
            token,
            self.keys.get_signing_key_from_jwt(token),
            algorithms=["RS256"],
            audience=audience,
            options={"require": ["aud", "exp", "iat", "iss", "nbf"]},
        )
        expected = {
            "oid": ids["principal_id"],
            "sub": ids["principal_id"],
            "appid": ids["client_id"],
            "tid": TENANT,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "xms_mirid": resource,
        }
        wrong = {name: claims.get(name) for name in expected if claims.get(name) != expected[name]}
        assert not wrong, f"the token says {wrong}, the world {expected}"
        return f"oid={claims['oid']} aud={claims['aud']}"

    def secret(self, name, value):
        assert value == SECRETS[name], f"{name} is {value!r}, the world says {SECRETS[name]!r}"
        return name

    def refused(self, word, error):
        # App Service says it in other words.
        if word == "Identity not found" and "IDENTITY_ENDPOINT" in os.environ:
            word = "Unable to load the proper Managed Identity"
        assert word in error, f"refused, but not with {word!r}: {error}"
        return word

    def ok(self):
        return ""

    def failed(self, error):
        raise AssertionError(error)


def main():
    vm = VMS[sys.argv[1]]
    program = sys.argv[2]
    if program == "--env":
        for name, value in environment(vm):
            print(f"{name}={value}")
        return
    judge = Judge(vm)
    failures = 0
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition("\t")
        if verb not in {"token", "secret", "refused", "ok", "failed"}:
            print(f"not ok: {vm['name']} {program}: not a line of a check: {line!r}", flush=True)
            failures += 1
            continue
        sentence, *fields = rest.split("\t")
        name = f"{vm['name']} {program}: {sentence}"
        try:
            detail = getattr(judge, verb)(*fields)
            print(f"ok: {name}" + (f" ({detail})" if detail else ""), flush=True)
        except Exception as error:  # every failure is a verdict
            print(f"not ok: {name}: {type(error).__name__}: {error}", flush=True)
            failures += 1
    sys.exit(failures > 0)


main()
