//! The built-in roles, with the ids and permissions that Azure publishes.
//!
//! Source: Azure RBAC documentation, "Azure built-in roles" (pages privileged, general, identity, compute,
//! security and storage). Azure occasionally adds actions to a role. The ids are the same in every tenant.

use uuid::{Uuid, uuid};

use super::definition::{Permissions, RoleDefinition};
use crate::base::ids::RoleDefinitionId;

/// Returns every built-in role that is known here. Azure has several hundred more.
pub(crate) fn built_ins() -> &'static [RoleDefinition] {
    BUILT_INS
}

/// Returns the built-in role of this id.
pub(crate) fn by_id(id: RoleDefinitionId) -> Option<&'static RoleDefinition> {
    BUILT_INS.iter().find(|role| role.id == id)
}

/// Returns the built-in role of this name, in any letter case.
pub(crate) fn by_name(role_name: &str) -> Option<&'static RoleDefinition> {
    BUILT_INS.iter().find(|role| role.role_name.eq_ignore_ascii_case(role_name))
}

const fn role(
    id: Uuid,
    role_name: &'static str,
    description: &'static str,
    permissions: Permissions,
) -> RoleDefinition {
    RoleDefinition {
        id: RoleDefinitionId::from_bytes(*id.as_bytes()),
        role_name,
        description,
        permissions,
        assignable_scopes: &["/"],
    }
}

/// No permission at all, the base of every role.
const NONE: Permissions =
    Permissions { actions: &[], not_actions: &[], data_actions: &[], not_data_actions: &[] };

/// Every built-in role that can be assigned, the general ones first.
const BUILT_INS: &[RoleDefinition] = &[
    role(
        uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
        "Owner",
        "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        Permissions { actions: &["*"], ..NONE },
    ),
    role(
        uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"),
        "Contributor",
        "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage assignments in Azure Blueprints, or share image galleries.",
        Permissions {
            actions: &["*"],
            not_actions: &[
                "Microsoft.Authorization/*/Delete",
                "Microsoft.Authorization/*/Write",
                "Microsoft.Authorization/elevateAccess/Action",
                "Microsoft.Blueprint/blueprintAssignments/write",
                "Microsoft.Blueprint/blueprintAssignments/delete",
                "Microsoft.Compute/galleries/share/action",
                "Microsoft.Purview/consents/write",
                "Microsoft.Purview/consents/delete",
                "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
                "Microsoft.Subscription/cancel/action",
                "Microsoft.Subscription/enable/action",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        "Reader",
        "View all resources, but does not allow you to make any changes.",
        Permissions { actions: &["*/read"], ..NONE },
    ),
    role(
        uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
        "User Access Administrator",
        "Lets you manage user access to Azure resources.",
        Permissions {
            actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
            ..NONE
        },
    ),
    role(
        uuid!("f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
        "Role Based Access Control Administrator",
        "Manage access to Azure resources by assigning roles using Azure RBAC. This role does not allow you to manage access using other ways, such as Azure Policy.",
        Permissions {
            actions: &[
                "Microsoft.Authorization/roleAssignments/write",
                "Microsoft.Authorization/roleAssignments/delete",
                "*/read",
                "Microsoft.Support/*",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("f1a07417-d97a-45cb-824c-7a7467783830"),
        "Managed Identity Operator",
        "Read and Assign User Assigned Identity",
        Permissions {
            actions: &[
                "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
                "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
                "Microsoft.Authorization/*/read",
                "Microsoft.Insights/alertRules/*",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                "Microsoft.Resources/deployments/*",
                "Microsoft.Support/*",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"),
        "Managed Identity Contributor",
        "Create, Read, Update, and Delete User Assigned Identity",
        Permissions {
            actions: &[
                "Microsoft.ManagedIdentity/userAssignedIdentities/read",
                "Microsoft.ManagedIdentity/userAssignedIdentities/write",
                "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
                "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
                "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
                "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
                "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
                "Microsoft.Authorization/*/read",
                "Microsoft.Insights/alertRules/*",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                "Microsoft.Resources/deployments/*",
                "Microsoft.Support/*",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("9980e02c-c2be-4d73-94e8-173b1dc7cf3c"),
        "Virtual Machine Contributor",
        "Lets you manage virtual machines, but not access to them, and not the virtual network or storage account they're connected to.",
        Permissions { actions: MANAGE_VIRTUAL_MACHINES, ..NONE },
    ),
    role(
        uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483"),
        "Key Vault Administrator",
        "Perform all data plane operations on a key vault and all objects in it, including certificates, keys, and secrets. Cannot manage key vault resources or manage role assignments. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        Permissions { actions: VAULT_READ, data_actions: &["Microsoft.KeyVault/vaults/*"], ..NONE },
    ),
    role(
        uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
        "Key Vault Secrets Officer",
        "Perform any action on the secrets of a key vault, except manage permissions. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        Permissions {
            actions: VAULT_READ,
            data_actions: &["Microsoft.KeyVault/vaults/secrets/*"],
            ..NONE
        },
    ),
    role(
        uuid!("4633458b-17de-408a-b874-0445c86b69e6"),
        "Key Vault Secrets User",
        "Read secret contents. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        Permissions {
            data_actions: &[
                "Microsoft.KeyVault/vaults/secrets/getSecret/action",
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
        "Key Vault Crypto Officer",
        "Perform any action on the keys of a key vault, except manage permissions. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        Permissions {
            actions: VAULT_READ,
            data_actions: &[
                "Microsoft.KeyVault/vaults/keys/*",
                "Microsoft.KeyVault/vaults/keyrotationpolicies/*",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("12338af0-0e69-4776-bea7-57ae8d297424"),
        "Key Vault Crypto User",
        "Perform cryptographic operations using keys. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        Permissions {
            data_actions: &[
                "Microsoft.KeyVault/vaults/keys/read",
                "Microsoft.KeyVault/vaults/keys/update/action",
                "Microsoft.KeyVault/vaults/keys/backup/action",
                "Microsoft.KeyVault/vaults/keys/encrypt/action",
                "Microsoft.KeyVault/vaults/keys/decrypt/action",
                "Microsoft.KeyVault/vaults/keys/wrap/action",
                "Microsoft.KeyVault/vaults/keys/unwrap/action",
                "Microsoft.KeyVault/vaults/keys/sign/action",
                "Microsoft.KeyVault/vaults/keys/verify/action",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("e147488a-f6f5-4113-8e2d-b22465e65bf6"),
        "Key Vault Crypto Service Encryption User",
        "Read metadata of keys and perform wrap/unwrap operations. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        Permissions {
            actions: &[
                "Microsoft.EventGrid/eventSubscriptions/write",
                "Microsoft.EventGrid/eventSubscriptions/read",
                "Microsoft.EventGrid/eventSubscriptions/delete",
            ],
            data_actions: &[
                "Microsoft.KeyVault/vaults/keys/read",
                "Microsoft.KeyVault/vaults/keys/wrap/action",
                "Microsoft.KeyVault/vaults/keys/unwrap/action",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("21090545-7ca7-4776-b22c-e363652d74d2"),
        "Key Vault Reader",
        "Read metadata of key vaults and its certificates, keys, and secrets. Cannot read sensitive values such as secret contents or key material. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        Permissions {
            actions: VAULT_READ,
            data_actions: &[
                "Microsoft.KeyVault/vaults/*/read",
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("f25e0fa2-a7c8-4377-a976-54943a77a395"),
        "Key Vault Contributor",
        "Lets you manage key vaults, but not access to them.",
        Permissions {
            actions: &[
                "Microsoft.Authorization/*/read",
                "Microsoft.Insights/alertRules/*",
                "Microsoft.KeyVault/*",
                "Microsoft.Resources/deployments/*",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                "Microsoft.Support/*",
            ],
            not_actions: &[
                "Microsoft.KeyVault/locations/deletedVaults/purge/action",
                "Microsoft.KeyVault/hsmPools/*",
                "Microsoft.KeyVault/managedHsms/*",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
        "Storage Blob Data Reader",
        "Allows for read access to Azure Storage blob containers and data",
        Permissions {
            actions: &[
                "Microsoft.Storage/storageAccounts/blobServices/containers/read",
                "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
            ],
            data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
            ..NONE
        },
    ),
    role(
        uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
        "Storage Blob Data Contributor",
        "Allows for read, write and delete access to Azure Storage blob containers and data",
        Permissions {
            actions: &[
                "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
                "Microsoft.Storage/storageAccounts/blobServices/containers/read",
                "Microsoft.Storage/storageAccounts/blobServices/containers/write",
                "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
            ],
            data_actions: &[
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
            ],
            ..NONE
        },
    ),
    role(
        uuid!("b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
        "Storage Blob Data Owner",
        "Allows for full access to Azure Storage blob containers and data, including assigning POSIX access control.",
        Permissions {
            actions: &[
                "Microsoft.Storage/storageAccounts/blobServices/containers/*",
                "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
            ],
            data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
            ..NONE
        },
    ),
];

/// Control-plane permissions of the roles for the contents of a vault. They include reading the vault.
const VAULT_READ: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Support/*",
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/operations/read",
];

/// Control-plane permissions of Virtual Machine Contributor.
const MANAGE_VIRTUAL_MACHINES: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.Compute/availabilitySets/*",
    "Microsoft.Compute/locations/*",
    "Microsoft.Compute/virtualMachines/*",
    "Microsoft.Compute/virtualMachineScaleSets/*",
    "Microsoft.Compute/cloudServices/*",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/hostgroups/write",
    "Microsoft.Compute/hostgroups/hosts/write",
    "Microsoft.DevTestLab/schedules/*",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Network/applicationGateways/backendAddressPools/join/action",
    "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
    "Microsoft.Network/loadBalancers/inboundNatPools/join/action",
    "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
    "Microsoft.Network/loadBalancers/probes/join/action",
    "Microsoft.Network/loadBalancers/read",
    "Microsoft.Network/locations/*",
    "Microsoft.Network/networkInterfaces/*",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/networkSecurityGroups/read",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/virtualNetworks/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
    "Microsoft.RecoveryServices/locations/*",
    "Microsoft.RecoveryServices/Vaults/backupFabrics/backupProtectionIntent/write",
    "Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/*/read",
    "Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/read",
    "Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/write",
    "Microsoft.RecoveryServices/Vaults/backupPolicies/read",
    "Microsoft.RecoveryServices/Vaults/backupPolicies/write",
    "Microsoft.RecoveryServices/Vaults/read",
    "Microsoft.RecoveryServices/Vaults/usages/read",
    "Microsoft.RecoveryServices/Vaults/write",
    "Microsoft.ResourceHealth/availabilityStatuses/read",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.SerialConsole/serialPorts/connect/action",
    "Microsoft.SqlVirtualMachine/*",
    "Microsoft.Storage/storageAccounts/listKeys/action",
    "Microsoft.Storage/storageAccounts/read",
    "Microsoft.Support/*",
];
