//! The API versions of each resource type (azure-rest-api-specs).

use super::error::ArmError;

/// A resource type of a provider, and its supported API versions, the oldest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResourceType {
    /// The provider, such as `Microsoft.Compute`.
    pub(super) namespace: &'static str,
    /// The type, such as `virtualMachines`.
    pub(super) name: &'static str,
    /// Its API versions. Empty for a type that is served in every version.
    pub(super) versions: &'static [&'static str],
}

pub(super) static SUBSCRIPTIONS: ResourceType =
    ResourceType { namespace: "Microsoft.Resources", name: "subscriptions", versions: RESOURCES };

pub(super) static TENANTS: ResourceType =
    ResourceType { namespace: "Microsoft.Resources", name: "tenants", versions: RESOURCES };

pub(super) static PROVIDERS: ResourceType =
    ResourceType { namespace: "Microsoft.Resources", name: "providers", versions: RESOURCES };

pub(super) static GROUPS: ResourceType =
    ResourceType { namespace: "Microsoft.Resources", name: "resourceGroups", versions: RESOURCES };

const RESOURCES: &[&str] = &[
    "2014-04-01",
    "2014-04-01-preview",
    "2015-01-01",
    "2015-11-01",
    "2016-02-01",
    "2016-06-01",
    "2016-07-01",
    "2016-09-01",
    "2017-03-01",
    "2017-05-10",
    "2017-06-01",
    "2017-08-01",
    "2018-01-01",
    "2018-02-01",
    "2018-05-01",
    "2018-06-01",
    "2018-07-01",
    "2018-08-01",
    "2018-09-01",
    "2018-11-01",
    "2019-03-01",
    "2019-04-01",
    "2019-05-01",
    "2019-05-10",
    "2019-06-01",
    "2019-07-01",
    "2019-08-01",
    "2019-09-01",
    "2019-10-01",
    "2019-11-01",
    "2020-01-01",
    "2020-05-01",
    "2020-06-01",
    "2020-07-01",
    "2020-08-01",
    "2020-09-01",
    "2020-10-01",
    "2021-01-01",
    "2021-04-01",
    "2022-01-01",
    "2022-06-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2024-03-01",
    "2024-07-01",
    "2024-11-01",
    "2025-03-01",
    "2025-04-01",
];

pub(super) static USER_ASSIGNED: ResourceType = ResourceType {
    namespace: "Microsoft.ManagedIdentity",
    name: "userAssignedIdentities",
    versions: MANAGED_IDENTITY,
};

pub(super) static SYSTEM_ASSIGNED: ResourceType = ResourceType {
    namespace: "Microsoft.ManagedIdentity",
    name: "identities",
    versions: MANAGED_IDENTITY,
};

pub(super) static FEDERATED_CREDENTIALS: ResourceType = ResourceType {
    namespace: "Microsoft.ManagedIdentity",
    name: "userAssignedIdentities/federatedIdentityCredentials",
    versions: &[
        "2022-01-31-preview",
        "2023-01-31",
        "2023-07-31-preview",
        "2024-11-30",
        "2025-01-31-preview",
        "2025-05-31-preview",
        "2026-04-30",
        "2026-05-31",
    ],
};

const MANAGED_IDENTITY: &[&str] = &[
    "2015-08-31-preview",
    "2018-11-30",
    "2021-09-30-preview",
    "2022-01-31-preview",
    "2023-01-31",
    "2023-07-31-preview",
    "2024-11-30",
    "2025-01-31-preview",
    "2025-05-31-preview",
    "2026-04-30",
    "2026-05-31",
];

// From 2018-06-01 on: in that version user-assigned identities became a dictionary.
pub(super) static VIRTUAL_MACHINES: ResourceType =
    ResourceType { namespace: "Microsoft.Compute", name: "virtualMachines", versions: COMPUTE };

pub(super) static OPERATIONS: ResourceType = ResourceType {
    namespace: "Microsoft.Compute",
    name: "locations/operations",
    versions: COMPUTE,
};

const COMPUTE: &[&str] = &[
    "2018-06-01",
    "2018-10-01",
    "2019-03-01",
    "2019-07-01",
    "2019-12-01",
    "2020-06-01",
    "2020-12-01",
    "2021-03-01",
    "2021-04-01",
    "2021-07-01",
    "2021-11-01",
    "2022-03-01",
    "2022-08-01",
    "2022-11-01",
    "2023-03-01",
    "2023-07-01",
    "2023-09-01",
    "2024-03-01",
    "2024-07-01",
    "2024-11-01",
    "2025-04-01",
    "2025-11-01",
    "2026-03-01",
    "2026-04-01",
];

pub(super) static VAULTS: ResourceType =
    ResourceType { namespace: "Microsoft.KeyVault", name: "vaults", versions: KEY_VAULT };

pub(super) static VAULT_OPERATIONS: ResourceType = ResourceType {
    namespace: "Microsoft.KeyVault",
    name: "locations/operations",
    versions: KEY_VAULT,
};

pub(super) static DELETED_VAULTS: ResourceType =
    ResourceType { namespace: "Microsoft.KeyVault", name: "deletedVaults", versions: KEY_VAULT };

const KEY_VAULT: &[&str] = &[
    "2015-06-01",
    "2016-10-01",
    "2018-02-14",
    "2018-02-14-preview",
    "2019-09-01",
    "2020-04-01-preview",
    "2021-04-01-preview",
    "2021-06-01-preview",
    "2021-10-01",
    "2021-11-01-preview",
    "2022-02-01-preview",
    "2022-07-01",
    "2022-11-01",
    "2023-02-01",
    "2023-07-01",
    "2024-04-01-preview",
    "2024-11-01",
    "2024-12-01-preview",
    "2025-05-01",
    "2026-02-01",
    "2026-05-15",
];

/// The network interface of a machine. Served in every version.
pub(super) static INTERFACES: ResourceType =
    in_every_version("Microsoft.Network", "networkInterfaces");

/// Types that are always empty here. Tools list them besides machines, vaults and role assignments, and a tool
/// fails when it gets an error instead of an empty list.
static UNPOPULATED: [ResourceType; 18] = [
    in_every_version("Microsoft.Authorization", "classicAdministrators"),
    in_every_version("Microsoft.Authorization", "denyAssignments"),
    in_every_version("Microsoft.Authorization", "locks"),
    in_every_version("Microsoft.Authorization", "policyAssignments"),
    in_every_version("Microsoft.Compute", "availabilitySets"),
    in_every_version("Microsoft.Compute", "disks"),
    in_every_version("Microsoft.Compute", "images"),
    in_every_version("Microsoft.Compute", "proximityPlacementGroups"),
    in_every_version("Microsoft.Compute", "snapshots"),
    in_every_version("Microsoft.Compute", "sshPublicKeys"),
    in_every_version("Microsoft.Compute", "virtualMachineScaleSets"),
    in_every_version("Microsoft.KeyVault", "deletedManagedHSMs"),
    in_every_version("Microsoft.KeyVault", "managedHSMs"),
    in_every_version("Microsoft.Network", "loadBalancers"),
    in_every_version("Microsoft.Network", "networkSecurityGroups"),
    in_every_version("Microsoft.Network", "publicIPAddresses"),
    in_every_version("Microsoft.Network", "virtualNetworks"),
    in_every_version("Microsoft.Storage", "storageAccounts"),
];

const fn in_every_version(namespace: &'static str, name: &'static str) -> ResourceType {
    ResourceType { namespace, name, versions: &[] }
}

/// Returns a namespace in its usual spelling.
pub(super) fn namespace(name: &str) -> Option<&'static str> {
    let all = ALL.into_iter().chain([&INTERFACES]).chain(&UNPOPULATED);
    let mut names = all.map(|known| known.namespace);
    names.find(|known| known.eq_ignore_ascii_case(name))
}

/// Returns the always empty type for `rest`, the segments after `/providers/{namespace}`: the type, or the
/// type and a name.
pub(super) fn unpopulated(namespace: &str, rest: &[&str]) -> Option<&'static ResourceType> {
    let ([name] | [name, _]) = rest else { return None };
    UNPOPULATED.iter().find(|known| {
        known.namespace.eq_ignore_ascii_case(namespace) && known.name.eq_ignore_ascii_case(name)
    })
}

pub(super) static ROLE_ASSIGNMENTS: ResourceType = ResourceType {
    namespace: "Microsoft.Authorization",
    name: "roleAssignments",
    versions: &[
        "2014-04-01-preview",
        "2014-07-01-preview",
        "2014-10-01-preview",
        "2015-05-01-preview",
        "2015-06-01",
        "2015-07-01",
        "2016-07-01",
        "2017-05-01",
        "2017-09-01",
        "2017-10-01-preview",
        "2018-01-01-preview",
        "2018-07-01",
        "2018-09-01-preview",
        "2018-12-01-preview",
        "2019-04-01-preview",
        "2020-03-01-preview",
        "2020-04-01-preview",
        "2020-08-01-preview",
        "2020-10-01-preview",
        "2021-04-01-preview",
        "2022-01-01-preview",
        "2022-04-01",
    ],
};

pub(super) static ROLE_DEFINITIONS: ResourceType = ResourceType {
    namespace: "Microsoft.Authorization",
    name: "roleDefinitions",
    versions: &[
        "2014-04-01-preview",
        "2014-07-01-preview",
        "2014-10-01-preview",
        "2015-05-01-preview",
        "2015-06-01",
        "2015-07-01",
        "2016-07-01",
        "2017-05-01",
        "2017-09-01",
        "2018-01-01-preview",
        "2018-07-01",
        "2022-04-01",
        "2022-05-01-preview",
    ],
};

/// Types in the list of providers.
pub(super) static ALL: [&ResourceType; 13] = [
    &ROLE_ASSIGNMENTS,
    &ROLE_DEFINITIONS,
    &VIRTUAL_MACHINES,
    &OPERATIONS,
    &VAULTS,
    &DELETED_VAULTS,
    &VAULT_OPERATIONS,
    &SYSTEM_ASSIGNED,
    &USER_ASSIGNED,
    &FEDERATED_CREDENTIALS,
    &GROUPS,
    &SUBSCRIPTIONS,
    &TENANTS,
];

impl ResourceType {
    /// Returns the type with its provider, as in the `type` of a resource.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Checks the `api-version` of a request. `location` is the location in the request, for the error.
    pub(super) fn require(
        &self,
        version: Option<&str>,
        location: Option<&str>,
    ) -> Result<(), ArmError> {
        let version = version.filter(|version| !version.is_empty());
        let version = version.ok_or(ArmError::MissingApiVersion)?;
        let is_every = self.versions.is_empty() && is_well_formed(version);
        if is_every || self.versions.iter().any(|known| known.eq_ignore_ascii_case(version)) {
            return Ok(());
        }
        let mut newest_first = self.versions.to_vec();
        newest_first.reverse();
        let (version, is_own) = (version.to_owned(), self.namespace == "Microsoft.Resources");
        Err(if is_own || !is_well_formed(&version) {
            ArmError::InvalidApiVersion { version, supported: newest_first.join(",") }
        } else {
            ArmError::NoRegisteredProvider {
                location: location.unwrap_or_default().to_owned(),
                version,
                kind: self.name,
                supported: newest_first.join(", "),
            }
        })
    }
}

/// Returns true if a text is a date, alone or with a suffix such as `-preview`.
pub(super) fn is_well_formed(version: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = version.splitn(4, '-');
    let date = [4, 2, 2].into_iter().all(|count| parts.next().is_some_and(|p| digits(p, count)));
    let ripeness = ["preview", "alpha", "beta", "rc", "privatepreview"];
    date && parts
        .next()
        .is_none_or(|word| ripeness.iter().any(|one| one.eq_ignore_ascii_case(word)))
}

/// Layout of the document, which depends on the API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointsLayout {
    /// The gallery, the graph, the portal and the token service.
    Brief,
    /// A list of clouds with all their endpoints. Here it has one entry.
    List,
    /// All endpoints of this cloud.
    Object,
}

impl EndpointsLayout {
    const LIST_SINCE: &str = "2019-05-01";
    const OBJECT_SINCE: &str = "2022-09-01";

    /// Returns the layout of a version. Azure does not document the versions, and clients ask for many, so
    /// every date is accepted.
    pub(super) fn of(version: Option<&str>) -> Result<Self, ArmError> {
        match version.filter(|version| !version.is_empty()).ok_or(ArmError::MissingApiVersion)? {
            "1.0" => Ok(Self::Brief),
            other if !is_well_formed(other) => Err(ArmError::InvalidApiVersion {
                version: other.to_owned(),
                supported: format!("{},{},2015-01-01,1.0", Self::OBJECT_SINCE, Self::LIST_SINCE),
            }),
            date if date < Self::LIST_SINCE => Ok(Self::Brief),
            date if date < Self::OBJECT_SINCE => Ok(Self::List),
            _ => Ok(Self::Object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &ResourceType, version: Option<&str>) -> String {
        let error = kind.require(version, Some("westus")).unwrap_err();
        format!("{} {error}", error.body()["error"]["code"].as_str().unwrap())
    }

    #[test]
    fn a_version_is_required_known_and_well_formed() {
        assert!(VIRTUAL_MACHINES.require(Some("2026-04-01"), None).is_ok());
        assert!(ROLE_ASSIGNMENTS.require(Some("2020-10-01-PREVIEW"), None).is_ok());
        assert!(refused(&VAULTS, None).starts_with("MissingApiVersionParameter"));
        assert!(refused(&VAULTS, Some("")).starts_with("MissingApiVersionParameter"));
        let malformed = refused(&USER_ASSIGNED, Some("latest"));
        assert!(malformed.starts_with("InvalidApiVersionParameter The api-version 'latest' is invalid. The supported versions are '2026-05-31,"));
        let unknown = refused(&USER_ASSIGNED, Some("2001-01-01"));
        assert!(unknown.starts_with("NoRegisteredProviderFound No registered resource provider found for location 'westus' and API version '2001-01-01' for type 'userAssignedIdentities'. The supported api-versions are '2026-05-31, "));
        let own = refused(&GROUPS, Some("2001-01-01"));
        assert!(own.starts_with("InvalidApiVersionParameter"));
    }

    #[test]
    fn versions_are_dates() {
        for text in ["2020-01-01", "2020-01-01-preview"] {
            assert!(is_well_formed(text), "{text}");
        }
        for text in ["", "2020", "2020-1-1", "2020-01-01-", "2020-01-01-x", "20200101", "x-01-01"] {
            assert!(!is_well_formed(text), "{text}");
        }
        for kind in ALL {
            assert!(kind.versions.iter().all(|version| is_well_formed(version)), "{}", kind.name);
        }
    }
}
