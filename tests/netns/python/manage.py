"""Manages identities and roles with Azure's management clients, as the operator of the broker.

Runs in vm-a: what the operator grants and takes away shows at once in what vm-a may read. One line
for each check, in the words that judge.py reads.
"""

import json
import os
import pathlib
import uuid

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import CertificateCredential, ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleAssignmentCreateParameters
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.msi.models import Identity, IdentityUpdate

SUBSCRIPTION, GROUP, NAME = os.environ["SUBSCRIPTION"], "rg", "made-by-an-sdk"
SECRET = os.environ["OTHER_SECRET"]
SCOPE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    f"/providers/Microsoft.KeyVault/vaults/kv-demo/secrets/{SECRET}"
)


def line(*fields):
    print("\t".join(" ".join(str(field).split()) for field in fields), flush=True)


def check(sentence, act):
    """Runs one check; what it returns is what the next ones work with."""
    try:
        result = act()
        line("ok", sentence)
        return result
    except Exception as error:  # every failure is a verdict
        line("failed", sentence, f"{type(error).__name__}: {error}")
        return None


def refused(act, status, code, kind=HttpResponseError):
    try:
        result = act()
    except kind as error:
        assert error.status_code == status, f"{error.status_code}, not {status}: {error}"
        assert error.error.code == code, f"{error.error.code}, not {code}: {error}"
        return
    raise AssertionError(f"it was allowed: {result}")


def operator():
    folder = os.environ["OPERATOR"]
    who = json.loads(pathlib.Path(f"{folder}.json").read_text())
    return CertificateCredential(who["tenant_id"], who["client_id"], f"{folder}.pem")


class Identities:
    def __init__(self, client):
        self.identities = client.user_assigned_identities
        self.made = None

    def create(self):
        self.made = self.identities.create_or_update(GROUP, NAME, Identity(location="westeurope"))
        assert self.made.name == NAME and self.made.location == "westeurope", self.made
        for made in (self.made.principal_id, self.made.client_id):
            uuid.UUID(made)

    def get(self):
        got = self.identities.get(GROUP, NAME)
        assert got.as_dict() == self.made.as_dict(), (got, self.made)

    def create_again(self):
        again = self.identities.create_or_update(GROUP, NAME, Identity(location="westeurope"))
        assert again.principal_id == self.made.principal_id, (again, self.made)
        assert again.client_id == self.made.client_id, (again, self.made)

    def tag(self):
        self.identities.update(GROUP, NAME, IdentityUpdate(tags={"made-by": "an SDK"}))
        got = self.identities.get(GROUP, NAME)
        assert got.tags == {"made-by": "an SDK"}, got.tags
        assert got.principal_id == self.made.principal_id, (got, self.made)

    def lists(self):
        expected = {"app-a", "app-b", "shared", NAME}
        for found in (
            self.identities.list_by_resource_group(GROUP),
            self.identities.list_by_subscription(),
        ):
            names = {identity.name for identity in found}
            assert names == expected, names

    def delete(self):
        self.identities.delete(GROUP, NAME)
        refused(lambda: self.identities.get(GROUP, NAME), 404, "ResourceNotFound",
                ResourceNotFoundError)

    def delete_again(self):
        self.identities.delete(GROUP, NAME)


class Roles:
    def __init__(self, client):
        self.assignments, self.definitions = client.role_assignments, client.role_definitions
        self.role = None
        self.name = str(uuid.uuid4())

    def find(self):
        found = self.definitions.list(SCOPE, filter="roleName eq 'Key Vault Secrets User'")
        [role] = list(found)
        assert role.name == "4633458b-17de-408a-b874-0445c86b69e6", role
        assert role.role_type == "BuiltInRole", role
        self.role = role.id

    def parameters(self, principal):
        return RoleAssignmentCreateParameters(
            role_definition_id=self.role, principal_id=principal, principal_type="ServicePrincipal"
        )

    def assign(self, principal):
        made = self.assignments.create(SCOPE, self.name, self.parameters(principal))
        assert made.principal_id == principal and made.scope.lower() == SCOPE.lower(), made
        assert made.name == self.name, made

    def assign_again(self, principal):
        other = str(uuid.uuid4())
        refused(lambda: self.assignments.create(SCOPE, other, self.parameters(principal)),
                409, "RoleAssignmentExists", ResourceExistsError)

    def lists(self, principal):
        # Here: the one made. Of the principal: that and the one of the world file.
        at_scope = self.assignments.list_for_scope(SCOPE, filter=f"principalId eq '{principal}'")
        names = {assignment.name for assignment in at_scope}
        assert self.name in names, names
        everywhere = self.assignments.list_for_subscription(filter=f"principalId eq '{principal}'")
        names = {assignment.name for assignment in everywhere}
        assert self.name in names and len(names) == 2, names

    def delete(self):
        gone = self.assignments.delete(SCOPE, self.name)
        assert gone.name == self.name, gone
        refused(lambda: self.assignments.get(SCOPE, self.name), 404, "RoleAssignmentNotFound",
                ResourceNotFoundError)


def main():
    system = os.environ["SYSTEM_OBJECT_ID"]
    machine = ManagedIdentityCredential()
    secrets = SecretClient(os.environ["VAULT_URL"], machine)
    credential = operator()
    identities = Identities(ManagedServiceIdentityClient(credential, SUBSCRIPTION))
    roles = Roles(AuthorizationManagementClient(credential, SUBSCRIPTION))
    as_machine = Identities(ManagedServiceIdentityClient(machine, SUBSCRIPTION))

    def read():
        assert secrets.get_secret(SECRET).value, "the secret is empty"

    def no_read():
        refused(lambda: secrets.get_secret(SECRET), 403, "Forbidden")

    check("the operator creates an identity", identities.create)
    check("and gets it", identities.get)
    check("and creates it again, with the same principal", identities.create_again)
    check("and tags it", identities.tag)
    check("and lists it with those of the world", identities.lists)
    check("a machine without a role may not create one",
          lambda: refused(as_machine.create, 403, "AuthorizationFailed"))
    check("the operator finds a role by its name", roles.find)
    check("a machine may not assign itself that role",
          lambda: refused(
              lambda: Roles(AuthorizationManagementClient(machine, SUBSCRIPTION)).assignments.create(
                  SCOPE, str(uuid.uuid4()), roles.parameters(system)),
              403, "AuthorizationFailed"))
    check("the machine may not read before the role is assigned", no_read)
    check("the operator assigns the role", lambda: roles.assign(system))
    check("but not twice", lambda: roles.assign_again(system))
    check("and lists the assignment", lambda: roles.lists(system))
    check("the machine reads after that", read)
    check("the operator deletes the assignment", roles.delete)
    check("the machine may not read any more", no_read)
    check("the operator deletes the identity", identities.delete)
    check("and may do so twice", identities.delete_again)


main()
