use serde_json::json;

use super::scope::NoManagementGroups;
use super::*;
use crate::base::ids::{RoleDefinitionId, SubscriptionId};

const VAULT: &str = "/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v";

const GET_SECRET: Action<'_> =
    Action::DataPlane("Microsoft.KeyVault/vaults/secrets/getSecret/action");
const SET_SECRET: Action<'_> =
    Action::DataPlane("Microsoft.KeyVault/vaults/secrets/setSecret/action");
const READ_METADATA: Action<'_> =
    Action::DataPlane("Microsoft.KeyVault/vaults/secrets/readMetadata/action");
const ASSIGN_ROLE: Action<'_> =
    Action::ControlPlane("Microsoft.Authorization/roleAssignments/write");
const READ_VM: Action<'_> = Action::ControlPlane("Microsoft.Compute/virtualMachines/read");
const WRITE_VM: Action<'_> = Action::ControlPlane("Microsoft.Compute/virtualMachines/write");
const READ_VAULT: Action<'_> = Action::ControlPlane("Microsoft.KeyVault/vaults/read");
const ASSIGN_IDENTITY: Action<'_> =
    Action::ControlPlane("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action");
const READ_IDENTITY: Action<'_> =
    Action::ControlPlane("Microsoft.ManagedIdentity/userAssignedIdentities/read");
const WRITE_IDENTITY: Action<'_> =
    Action::ControlPlane("Microsoft.ManagedIdentity/userAssignedIdentities/write");
const READ_KEY: Action<'_> = Action::DataPlane("Microsoft.KeyVault/vaults/keys/read");
const SIGN: Action<'_> = Action::DataPlane("Microsoft.KeyVault/vaults/keys/sign/action");
const WRAP_KEY: Action<'_> = Action::DataPlane("Microsoft.KeyVault/vaults/keys/wrap/action");
const CREATE_KEY: Action<'_> = Action::DataPlane("Microsoft.KeyVault/vaults/keys/create/action");
const SET_POLICY: Action<'_> =
    Action::DataPlane("Microsoft.KeyVault/vaults/keyrotationpolicies/write");
const READ_BLOB: Action<'_> =
    Action::DataPlane("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read");
const WRITE_BLOB: Action<'_> =
    Action::DataPlane("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write");
const OWN_BLOB: Action<'_> = Action::DataPlane(
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/manageOwnership/action",
);

#[derive(Debug, PartialEq)]
struct Held {
    role: RoleDefinitionId,
    scope: Scope,
}

impl Grant for Held {
    fn role(&self) -> RoleDefinitionId {
        self.role
    }

    fn scope(&self) -> &Scope {
        &self.scope
    }
}

fn held(role_name: &str, scope: &str) -> Held {
    Held { role: by_name(role_name).unwrap().id, scope: scope.parse().unwrap() }
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn check(grants: &[Held], action: Action<'_>, at: &str) -> Option<usize> {
    let permitting = permits(grants, action, &scope(at), &NoManagementGroups)?;
    grants.iter().position(|grant| std::ptr::eq(grant, permitting))
}

#[test]
fn each_role_allows_what_azure_says_and_no_more() {
    let table: &[(&str, &[Action<'_>], &[Action<'_>])] = &[
        ("Owner", &[ASSIGN_ROLE, WRITE_VM, ASSIGN_IDENTITY], &[GET_SECRET, READ_BLOB]),
        ("Contributor", &[WRITE_VM, READ_VAULT, ASSIGN_IDENTITY], &[ASSIGN_ROLE, GET_SECRET]),
        ("Reader", &[READ_VM, READ_VAULT], &[WRITE_VM, GET_SECRET, ASSIGN_IDENTITY]),
        ("User Access Administrator", &[ASSIGN_ROLE, READ_VM], &[WRITE_VM, GET_SECRET]),
        ("Role Based Access Control Administrator", &[ASSIGN_ROLE, READ_VM], &[WRITE_VM]),
        (
            "Managed Identity Operator",
            &[ASSIGN_IDENTITY, READ_IDENTITY],
            &[WRITE_IDENTITY, WRITE_VM, ASSIGN_ROLE],
        ),
        (
            "Managed Identity Contributor",
            &[READ_IDENTITY, WRITE_IDENTITY],
            &[ASSIGN_IDENTITY, ASSIGN_ROLE],
        ),
        ("Virtual Machine Contributor", &[READ_VM, WRITE_VM], &[ASSIGN_IDENTITY, ASSIGN_ROLE]),
        ("Key Vault Administrator", &[GET_SECRET, SET_SECRET, READ_METADATA], &[ASSIGN_ROLE]),
        ("Key Vault Secrets Officer", &[GET_SECRET, SET_SECRET, READ_METADATA], &[WRITE_VM]),
        ("Key Vault Secrets User", &[GET_SECRET, READ_METADATA], &[SET_SECRET, READ_VAULT]),
        (
            "Key Vault Crypto Officer",
            &[READ_KEY, SIGN, WRAP_KEY, CREATE_KEY, SET_POLICY, READ_VAULT],
            &[GET_SECRET, ASSIGN_ROLE],
        ),
        (
            "Key Vault Crypto User",
            &[READ_KEY, SIGN, WRAP_KEY],
            &[CREATE_KEY, SET_POLICY, GET_SECRET, READ_VAULT],
        ),
        (
            "Key Vault Crypto Service Encryption User",
            &[READ_KEY, WRAP_KEY],
            &[SIGN, CREATE_KEY, SET_POLICY],
        ),
        ("Key Vault Reader", &[READ_METADATA, READ_VAULT], &[GET_SECRET, SET_SECRET]),
        ("Key Vault Contributor", &[READ_VAULT], &[GET_SECRET, READ_METADATA, ASSIGN_ROLE]),
        ("Storage Blob Data Reader", &[READ_BLOB], &[WRITE_BLOB, GET_SECRET]),
        ("Storage Blob Data Contributor", &[READ_BLOB, WRITE_BLOB], &[OWN_BLOB]),
        ("Storage Blob Data Owner", &[READ_BLOB, WRITE_BLOB, OWN_BLOB], &[GET_SECRET]),
    ];
    assert_eq!(table.len(), built_ins().len());
    for (role_name, allowed, refused) in table {
        let grants = [held(role_name, "/")];
        for action in *allowed {
            assert_eq!(check(&grants, *action, VAULT), Some(0), "{role_name} {action:?}");
        }
        for action in *refused {
            assert_eq!(check(&grants, *action, VAULT), None, "{role_name} {action:?}");
        }
    }
}

#[test]
fn an_action_is_of_one_plane_only() {
    let user = [held("Key Vault Secrets User", "/")];
    assert_eq!(check(&user, Action::ControlPlane(GET_SECRET.name()), VAULT), None);
    let owner = [held("Owner", "/")];
    assert_eq!(check(&owner, Action::DataPlane(WRITE_VM.name()), VAULT), None);
}

#[test]
fn letter_case_of_an_action_does_not_matter() {
    let grants = [held("key vault secrets user", &VAULT.to_uppercase())];
    let shouted = GET_SECRET.name().to_uppercase();
    assert_eq!(check(&grants, Action::DataPlane(&shouted), VAULT), Some(0));
    let contributor = [held("Contributor", "/")];
    let lower = ASSIGN_ROLE.name().to_lowercase();
    assert_eq!(check(&contributor, Action::ControlPlane(&lower), VAULT), None);
}

#[test]
fn a_not_action_narrows_its_own_role_only() {
    let grants = [held("Contributor", "/"), held("User Access Administrator", "/")];
    assert_eq!(check(&grants, ASSIGN_ROLE, VAULT), Some(1));
    assert_eq!(check(&grants, WRITE_VM, VAULT), Some(0));
}

#[test]
fn the_first_grant_that_permits_is_the_one_returned() {
    let grants = [
        held("Reader", "/"),
        held("Key Vault Secrets User", &format!("{VAULT}/secrets/other")),
        held("Key Vault Secrets User", VAULT),
        held("Key Vault Administrator", "/"),
    ];
    assert_eq!(check(&grants, GET_SECRET, &format!("{VAULT}/secrets/s")), Some(2));
}

#[test]
fn a_grant_on_one_secret_opens_that_secret_only() {
    let grants = [held("Key Vault Secrets User", &format!("{VAULT}/secrets/s"))];
    assert_eq!(check(&grants, GET_SECRET, &format!("{VAULT}/secrets/S")), Some(0));
    assert_eq!(check(&grants, GET_SECRET, &format!("{VAULT}/secrets/s2")), None);
    assert_eq!(check(&grants, GET_SECRET, VAULT), None);
}

#[test]
fn a_grant_on_one_key_opens_that_key_only() {
    let grants = [held("Key Vault Crypto User", &format!("{VAULT}/keys/k"))];
    assert_eq!(check(&grants, SIGN, &format!("{VAULT}/keys/K")), Some(0));
    assert_eq!(check(&grants, SIGN, &format!("{VAULT}/keys/k2")), None);
    assert_eq!(check(&grants, READ_KEY, &format!("{VAULT}/secrets/k")), None);
    assert_eq!(check(&grants, READ_KEY, VAULT), None);
}

#[test]
fn a_grant_at_a_management_group_reaches_its_subscriptions() {
    struct Landing;
    impl Hierarchy for Landing {
        fn above_subscription(&self, _: SubscriptionId) -> impl Iterator<Item = &str> {
            ["workloads", "tenant-root"].into_iter()
        }
    }
    for (group, expected) in [("Workloads", true), ("tenant-root", true), ("work", false)] {
        let at = format!("/providers/Microsoft.Management/managementGroups/{group}");
        let grants = [held("Key Vault Secrets User", &at)];
        let permitting = permits(&grants, GET_SECRET, &scope(VAULT), &Landing);
        assert_eq!(permitting.is_some(), expected, "{group}");
    }
}

#[test]
fn an_unknown_role_grants_nothing() {
    let grants = [Held { role: RoleDefinitionId::from_bytes([7; 16]), scope: scope("/") }];
    assert_eq!(check(&grants, READ_VM, VAULT), None);
    assert_eq!(check(&[], READ_VM, VAULT), None);
}

#[test]
fn built_in_roles_are_found_by_id_and_by_name() {
    for role in built_ins() {
        assert_eq!(by_id(role.id), Some(role));
        assert_eq!(by_name(&role.role_name.to_uppercase()), Some(role));
    }
    let owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635".parse().unwrap();
    assert_eq!(by_id(owner).map(|role| role.role_name), Some("Owner"));
    assert_eq!(by_name("Own"), None);
}

#[test]
fn a_definition_has_the_shape_that_clients_read() {
    let user = by_name("Key Vault Secrets User").unwrap();
    let id =
        "/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6";
    assert_eq!(
        serde_json::to_value(user).unwrap(),
        json!({
            "properties": {
                "roleName": "Key Vault Secrets User",
                "type": "BuiltInRole",
                "description": user.description,
                "assignableScopes": ["/"],
                "permissions": [{
                    "actions": [],
                    "notActions": [],
                    "dataActions": [
                        "Microsoft.KeyVault/vaults/secrets/getSecret/action",
                        "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
                    ],
                    "notDataActions": [],
                }],
            },
            "id": id,
            "type": "Microsoft.Authorization/roleDefinitions",
            "name": "4633458b-17de-408a-b874-0445c86b69e6",
        })
    );
    let subscription = scope(VAULT).subscription();
    let seen = serde_json::to_value(user.resource(subscription)).unwrap();
    let below = format!("/subscriptions/00000000-0000-0000-0000-00000000000a{id}");
    assert_eq!(seen["id"], json!(below));
}

#[test]
fn the_id_of_a_definition_is_read_from_below_any_scope() {
    for role in built_ins() {
        for subscription in [None, scope(VAULT).subscription()] {
            let resource_id = role.resource_id(subscription);
            assert_eq!(id_in_resource_id(&resource_id), Some(role.id));
            assert_eq!(id_in_resource_id(&resource_id.to_uppercase()), Some(role.id));
        }
    }
    let reader = by_name("Reader").unwrap();
    for text in [
        "",
        "/",
        &reader.id.to_string(),
        "/providers/Microsoft.Authorization/roleDefinitions/Reader",
        &format!("/providers/Microsoft.Authorization/roleAssignments/{}", reader.id),
        &format!("//providers/Microsoft.Authorization/roleDefinitions/{}", reader.id),
        &format!("/nowhere/providers/Microsoft.Authorization/roleDefinitions/{}", reader.id),
        &format!("é/providers/Microsoft.Authorization/roleDefinitions/{}", reader.id),
    ] {
        assert_eq!(id_in_resource_id(text), None, "{text}");
    }
}
