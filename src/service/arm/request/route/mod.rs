//! Routes: the parsing of request paths.
//!
//! Paths are compared without regard to case. Keywords get Azure's spelling here; names stay as they came.
//! Each segment is percent-decoded once. A decoded segment that is not a plain name leads to no route.

mod kind;

use hyper::Method;

pub(crate) use self::kind::Kind;
use crate::base::http::Encoded;
use crate::base::ids::{ArmId, SubscriptionId};
use crate::service::arm::error::ArmError;
use crate::service::arm::version::{self, EndpointsLayout, ResourceType};
use crate::service::world::roles::Scope;

/// Target of a request path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The endpoints of the services of this cloud. Needs no token.
    Endpoints,
    Tenants,
    Subscriptions,
    Subscription(SubscriptionId),
    /// The providers, or one of them, in a subscription or in the tenant.
    Providers {
        subscription: Option<SubscriptionId>,
        namespace: Option<String>,
    },
    /// The regions that a subscription can use.
    Locations(SubscriptionId),
    /// `POST .../providers/{namespace}/register`.
    Register {
        subscription: SubscriptionId,
        namespace: String,
    },
    Groups(ArmId),
    Group(ArmId),
    /// The resources of all kinds in a subscription or a resource group.
    Resources(ArmId),
    /// The resources of a kind in a subscription or a resource group.
    List {
        kind: Kind,
        parent: ArmId,
    },
    Resource {
        kind: Kind,
        id: ArmId,
    },
    /// The state of a machine.
    InstanceView(ArmId),
    /// The network interfaces of the machines in a subscription or a resource group.
    Interfaces(ArmId),
    Interface(ArmId),
    /// The resources of a type that is always empty here.
    Unpopulated {
        resource_type: &'static ResourceType,
        scope: Scope,
    },
    /// One resource of a type that is always empty here.
    Absent {
        resource_type: &'static ResourceType,
        id: ArmId,
    },
    DeletedVaults(SubscriptionId),
    DeletedVault(DeletedVaultPath),
    /// `POST .../deletedVaults/{name}/purge`.
    PurgeVault(DeletedVaultPath),
    /// The federated credentials of a user-assigned identity.
    FederatedCredentials(ArmId),
    FederatedCredential {
        identity: ArmId,
        id: ArmId,
    },
    /// The system-assigned identity of a resource.
    SystemAssigned(ArmId),
    RoleAssignments(Scope),
    RoleAssignment {
        scope: Scope,
        name: String,
    },
    RoleDefinitions(Scope),
    RoleDefinition {
        scope: Scope,
        name: String,
    },
    /// The state of a write, which a client polls.
    Operation {
        kind: &'static ResourceType,
        subscription: SubscriptionId,
        id: String,
    },
}

/// `/subscriptions/{id}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeletedVaultPath {
    pub(crate) subscription: SubscriptionId,
    pub(crate) location: String,
    pub(crate) name: String,
}

impl Route {
    /// Parses `path`. `version` only goes into the error when the path leads nowhere.
    pub(crate) fn of(path: &str, version: &str) -> Result<Self, ArmError> {
        // Clients put a slash before a scope, which itself begins with a slash.
        let path = path.trim_start_matches('/');
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<_> =
            path.split('/').map(decoded).collect::<Option<_>>().unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match lower(&segments).iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["metadata", "endpoints"] => return Ok(Self::Endpoints),
            ["tenants"] => return Ok(Self::Tenants),
            ["subscriptions"] => return Ok(Self::Subscriptions),
            ["subscriptions", id] => return subscription(id).map(Self::Subscription),
            ["providers"] => return Ok(Self::Providers { subscription: None, namespace: None }),
            ["subscriptions", id, "resourcegroups"] => {
                return Ok(Self::Groups(subscription_scope(subscription(id)?)?));
            }
            ["subscriptions", id, "locations"] => return subscription(id).map(Self::Locations),
            ["subscriptions", id, "resources"] => {
                return Ok(Self::Resources(subscription_scope(subscription(id)?)?));
            }
            ["subscriptions", id, "providers"] => {
                let subscription = Some(subscription(id)?);
                return Ok(Self::Providers { subscription, namespace: None });
            }
            _ => {}
        }
        let providers = segments.iter().rposition(|key| key.eq_ignore_ascii_case("providers"));
        match providers.and_then(|at| segments.split_at_checked(at)) {
            Some((scope, [_, namespace, rest @ ..])) if !is_management_group(&segments) => {
                below_provider(scope, namespace, rest, version)
            }
            _ => group(&segments),
        }
    }

    /// Checks the `api-version` of a request.
    pub(crate) fn require_version(&self, version: Option<&str>) -> Result<(), ArmError> {
        let resource_type = match self {
            Self::Endpoints => return EndpointsLayout::of(version).map(drop),
            Self::Tenants => &version::TENANTS,
            Self::Subscriptions | Self::Subscription(_) | Self::Locations(_) => {
                &version::SUBSCRIPTIONS
            }
            Self::Providers { .. } | Self::Register { .. } => &version::PROVIDERS,
            Self::Groups(_) | Self::Group(_) | Self::Resources(_) => &version::GROUPS,
            Self::List { kind, .. } | Self::Resource { kind, .. } => kind.resource_type(),
            Self::InstanceView(_) => &version::VIRTUAL_MACHINES,
            Self::Interfaces(_) | Self::Interface(_) => &version::INTERFACES,
            Self::Unpopulated { resource_type, .. } | Self::Absent { resource_type, .. } => {
                resource_type
            }
            Self::DeletedVaults(_) | Self::DeletedVault(_) | Self::PurgeVault(_) => {
                &version::DELETED_VAULTS
            }
            Self::FederatedCredentials(_) | Self::FederatedCredential { .. } => {
                &version::FEDERATED_CREDENTIALS
            }
            Self::SystemAssigned(_) => &version::SYSTEM_ASSIGNED,
            Self::RoleAssignments(_) | Self::RoleAssignment { .. } => &version::ROLE_ASSIGNMENTS,
            Self::RoleDefinitions(_) | Self::RoleDefinition { .. } => &version::ROLE_DEFINITIONS,
            Self::Operation { kind, .. } => kind,
        };
        resource_type.require(version, None)
    }

    /// Returns the subscription that the path names.
    pub(crate) fn subscription(&self) -> Option<SubscriptionId> {
        match self {
            Self::Endpoints | Self::Tenants | Self::Subscriptions => None,
            Self::Subscription(id) | Self::Locations(id) | Self::DeletedVaults(id) => Some(*id),
            Self::DeletedVault(path) | Self::PurgeVault(path) => Some(path.subscription),
            Self::Providers { subscription, .. } => *subscription,
            Self::Register { subscription, .. } | Self::Operation { subscription, .. } => {
                Some(*subscription)
            }
            Self::Groups(id)
            | Self::Group(id)
            | Self::Resources(id)
            | Self::List { parent: id, .. }
            | Self::Resource { id, .. }
            | Self::InstanceView(id)
            | Self::Interfaces(id)
            | Self::Interface(id)
            | Self::Absent { id, .. }
            | Self::FederatedCredentials(id)
            | Self::FederatedCredential { id, .. }
            | Self::SystemAssigned(id) => Some(id.subscription()),
            Self::Unpopulated { scope, .. }
            | Self::RoleAssignments(scope)
            | Self::RoleAssignment { scope, .. }
            | Self::RoleDefinitions(scope)
            | Self::RoleDefinition { scope, .. } => scope.subscription(),
        }
    }

    /// Returns the methods of the route, as in `Allow` (RFC 9110 section 10.2.1).
    pub(crate) const fn allowed(&self) -> &'static str {
        match self {
            Self::Register { .. } | Self::PurgeVault(_) => "POST",
            Self::Group(_) | Self::Resource { .. } => "GET, HEAD, PUT, PATCH, DELETE",
            Self::RoleAssignment { .. } | Self::FederatedCredential { .. } => {
                "GET, HEAD, PUT, DELETE"
            }
            _ => "GET, HEAD",
        }
    }

    /// Returns true if the route is a list without filters.
    pub(crate) const fn takes_no_filter(&self) -> bool {
        matches!(
            self,
            Self::Tenants
                | Self::Subscriptions
                | Self::DeletedVaults(_)
                | Self::FederatedCredentials(_)
                | Self::Interfaces(_)
                | Self::List { kind: Kind::UserAssigned | Kind::Vault, .. }
        )
    }

    /// Checks that the route allows `method`.
    pub(crate) fn allows(&self, method: &Method) -> Result<(), ArmError> {
        let allowed = self.allowed();
        let refused = || ArmError::MethodNotAllowed { method: method.to_string(), allowed };
        let known = allowed.split(", ").any(|one| one == method.as_str());
        known.then_some(()).ok_or_else(refused)
    }
}

fn decoded(segment: &str) -> Option<String> {
    let text = Encoded::new(segment).decode_percent().ok()?;
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.()".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_byte)).then(|| text.into_owned())
}

fn lower(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|segment| segment.to_ascii_lowercase()).collect()
}

/// Returns true if the path ends at the name of a management group. Such a path is a scope, not the resource
/// of a provider.
fn is_management_group(segments: &[&str]) -> bool {
    matches!(segments, [_, namespace, kind, _]
        if namespace.eq_ignore_ascii_case("Microsoft.Management")
            && kind.eq_ignore_ascii_case("managementGroups"))
}

fn subscription(id: &str) -> Result<SubscriptionId, ArmError> {
    let malformed = |_| ArmError::InvalidName {
        code: "InvalidSubscriptionId",
        message: format!("The provided subscription identifier '{id}' is malformed or invalid."),
    };
    id.parse().map_err(malformed)
}

fn subscription_scope(id: SubscriptionId) -> Result<ArmId, ArmError> {
    format!("/subscriptions/{id}").parse().map_err(|_| ArmError::NoSuchPath)
}

fn group(segments: &[&str]) -> Result<Route, ArmError> {
    match segments {
        [_, _, _, _] => in_group(segments).map(Route::Group),
        [group @ .., key] if key.eq_ignore_ascii_case("resources") => {
            in_group(group).map(Route::Resources)
        }
        _ => Err(ArmError::NoSuchPath),
    }
}

/// `/subscriptions/{id}/resourceGroups/{name}`, in this spelling.
fn in_group(segments: &[&str]) -> Result<ArmId, ArmError> {
    let [root, id, key, name] = segments else { return Err(ArmError::NoSuchPath) };
    let fits =
        root.eq_ignore_ascii_case("subscriptions") && key.eq_ignore_ascii_case("resourceGroups");
    if !fits {
        return Err(ArmError::NoSuchPath);
    }
    let id = subscription(id)?;
    if name.len() > 90 || name.ends_with('.') {
        let message = format!(
            "The provided resource group name '{name}' has these invalid characters or ends with '.', or is longer than 90 characters."
        );
        return Err(ArmError::InvalidName { code: "InvalidResourceGroup", message });
    }
    format!("/subscriptions/{id}/resourceGroups/{name}").parse().map_err(|_| ArmError::NoSuchPath)
}

fn below_provider(
    scope: &[&str],
    namespace: &str,
    rest: &[&str],
    version: &str,
) -> Result<Route, ArmError> {
    let names = lower(rest);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match (namespace.to_ascii_lowercase().as_str(), names.as_slice()) {
        (_, []) => Ok(Route::Providers {
            subscription: optional_subscription(scope)?,
            namespace: Some(namespace.to_owned()),
        }),
        (_, ["register"]) => Ok(Route::Register {
            subscription: optional_subscription(scope)?.ok_or(ArmError::NoSuchPath)?,
            namespace: namespace.to_owned(),
        }),
        ("microsoft.authorization", ["roleassignments"]) => {
            scope_of(scope).map(Route::RoleAssignments)
        }
        ("microsoft.authorization", ["roleassignments", name]) => {
            Ok(Route::RoleAssignment { scope: scope_of(scope)?, name: (*name).to_owned() })
        }
        ("microsoft.authorization", ["roledefinitions"]) => {
            scope_of(scope).map(Route::RoleDefinitions)
        }
        ("microsoft.authorization", ["roledefinitions", name]) => {
            Ok(Route::RoleDefinition { scope: scope_of(scope)?, name: (*name).to_owned() })
        }
        ("microsoft.managedidentity", ["identities", "default"]) => {
            let id = scope_of(scope)?.as_str().parse();
            id.map(Route::SystemAssigned).map_err(|_| ArmError::NoSuchPath)
        }
        (
            "microsoft.managedidentity",
            ["userassignedidentities", _, "federatedidentitycredentials", name @ ..],
        ) => federated(in_type(scope, &version::USER_ASSIGNED, rest)?, name, rest),
        ("microsoft.compute", ["locations", _, "operations", id]) => {
            operation(&version::OPERATIONS, scope, id)
        }
        ("microsoft.keyvault", ["locations", _, "operations", id]) => {
            operation(&version::VAULT_OPERATIONS, scope, id)
        }
        ("microsoft.keyvault", ["deletedvaults"]) => {
            let subscription = optional_subscription(scope)?.ok_or(ArmError::NoSuchPath)?;
            Ok(Route::DeletedVaults(subscription))
        }
        ("microsoft.keyvault", ["locations", location, "deletedvaults", _, end @ ..]) => {
            deleted_vault(scope, location, rest, end)
        }
        ("microsoft.network", ["networkinterfaces"]) => parent_of(scope).map(Route::Interfaces),
        ("microsoft.network", ["networkinterfaces", _]) => {
            in_type(scope, &version::INTERFACES, rest).map(Route::Interface)
        }
        ("microsoft.compute", ["virtualmachines", _, "instanceview"]) => {
            in_type(scope, &version::VIRTUAL_MACHINES, rest).map(Route::InstanceView)
        }
        _ => match version::unpopulated(namespace, rest) {
            Some(resource_type) => unpopulated(scope, resource_type, rest),
            None => resource(scope, namespace, rest, version),
        },
    }
}

/// Returns the request for a deleted vault in `location`, whose path ends with `end` after its name.
fn deleted_vault(
    scope: &[&str],
    location: &str,
    rest: &[&str],
    end: &[&str],
) -> Result<Route, ArmError> {
    let path = DeletedVaultPath {
        subscription: optional_subscription(scope)?.ok_or(ArmError::NoSuchPath)?,
        location: location.to_owned(),
        name: rest.get(3).copied().unwrap_or_default().to_owned(),
    };
    match end {
        [] => Ok(Route::DeletedVault(path)),
        ["purge"] => Ok(Route::PurgeVault(path)),
        _ => Err(ArmError::NoSuchPath),
    }
}

fn operation(kind: &'static ResourceType, scope: &[&str], id: &str) -> Result<Route, ArmError> {
    let subscription = optional_subscription(scope)?.ok_or(ArmError::NoSuchPath)?;
    Ok(Route::Operation { kind, subscription, id: id.to_owned() })
}

/// Returns the id of a resource in a resource group, with its type in the usual spelling. Segments after its
/// name are left out.
fn in_type(scope: &[&str], known: &ResourceType, rest: &[&str]) -> Result<ArmId, ArmError> {
    let (group, full_name) = (in_group(scope)?, known.full_name());
    let name = rest.get(1).copied().unwrap_or_default();
    let id = format!("{group}/providers/{full_name}/{name}").parse();
    id.map_err(|_| ArmError::NoSuchPath)
}

/// Returns the route of the federated credentials of an identity, or of one of them.
fn federated(identity: ArmId, name: &[&str], rest: &[&str]) -> Result<Route, ArmError> {
    match (name, rest.last()) {
        ([], _) => Ok(Route::FederatedCredentials(identity)),
        ([_], Some(name)) => {
            let id = format!("{identity}/federatedIdentityCredentials/{name}").parse();
            let id = id.map_err(|_| ArmError::NoSuchPath)?;
            Ok(Route::FederatedCredential { identity, id })
        }
        _ => Err(ArmError::NoSuchPath),
    }
}

fn unpopulated(
    scope: &[&str],
    resource_type: &'static ResourceType,
    rest: &[&str],
) -> Result<Route, ArmError> {
    match rest {
        [_] => Ok(Route::Unpopulated { resource_type, scope: scope_of(scope)? }),
        _ => Ok(Route::Absent { resource_type, id: in_type(scope, resource_type, rest)? }),
    }
}

fn resource(
    scope: &[&str],
    namespace: &str,
    rest: &[&str],
    version: &str,
) -> Result<Route, ArmError> {
    let own = version::namespace(namespace);
    let own = own.ok_or_else(|| ArmError::InvalidNamespace(namespace.to_owned()))?;
    let fits = |kind: &Kind| {
        let known = kind.resource_type();
        known.namespace == own
            && rest.first().is_some_and(|name| known.name.eq_ignore_ascii_case(name))
    };
    let kind = Kind::ALL.into_iter().find(fits);
    let unknown = || ArmError::InvalidResourceType {
        kind: rest.iter().step_by(2).copied().collect::<Vec<_>>().join("/"),
        namespace: own.to_owned(),
        version: version.to_owned(),
    };
    match (kind, rest) {
        (Some(kind), [_]) => Ok(Route::List { kind, parent: parent_of(scope)? }),
        (Some(kind), [_, _]) => {
            Ok(Route::Resource { kind, id: in_type(scope, kind.resource_type(), rest)? })
        }
        _ => Err(unknown()),
    }
}

fn parent_of(scope: &[&str]) -> Result<ArmId, ArmError> {
    match optional_subscription(scope) {
        Ok(Some(subscription)) => subscription_scope(subscription),
        Ok(None) => Err(ArmError::NoSuchPath),
        Err(_) => in_group(scope),
    }
}

fn optional_subscription(scope: &[&str]) -> Result<Option<SubscriptionId>, ArmError> {
    match scope {
        [] => Ok(None),
        [root, id] if root.eq_ignore_ascii_case("subscriptions") => subscription(id).map(Some),
        _ => Err(ArmError::NoSuchPath),
    }
}

fn scope_of(segments: &[&str]) -> Result<Scope, ArmError> {
    if let [root, id, ..] = segments
        && root.eq_ignore_ascii_case("subscriptions")
    {
        subscription(id)?;
    }
    let mut text = String::from("/");
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 {
            text.push('/');
        }
        text.push_str(keyword(segment));
    }
    text.parse().map_err(|_| ArmError::NoSuchPath)
}

/// Returns the usual spelling of the segments that are the same in all scopes.
fn keyword(segment: &str) -> &str {
    const KEYWORDS: [&str; 5] = [
        "subscriptions",
        "resourceGroups",
        "providers",
        "Microsoft.Management",
        "managementGroups",
    ];
    KEYWORDS.into_iter().find(|word| word.eq_ignore_ascii_case(segment)).unwrap_or(segment)
}

#[cfg(test)]
mod tests;
