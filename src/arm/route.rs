//! Where a path leads.
//!
//! Paths compare without regard to case; keywords are brought into Azure's spelling here, names stay as
//! they came. Each segment is decoded once, and what then is not a plain name leads nowhere.

use hyper::Method;
use percent_encoding::percent_decode_str;

use super::endpoints;
use super::error::ArmError;
use super::version::{self, ResourceType};
use crate::ids::{ArmId, SubscriptionId};
use crate::world::roles::Scope;

/// The resource types that lie in resource groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    UserAssigned,
    VirtualMachine,
    Vault,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::UserAssigned, Self::VirtualMachine, Self::Vault];

    pub(super) const fn resource_type(self) -> &'static ResourceType {
        match self {
            Self::UserAssigned => &version::USER_ASSIGNED,
            Self::VirtualMachine => &version::VIRTUAL_MACHINES,
            Self::Vault => &version::VAULTS,
        }
    }

    /// The kind of a resource id, which must be one of a whole resource.
    pub(super) fn of(id: &ArmId) -> Option<Self> {
        let mut segments = id.as_str().split('/').skip(1);
        let in_group = segments.next().is_some()
            && segments.next().is_some()
            && segments.next().is_some_and(|key| key.eq_ignore_ascii_case("resourceGroups"))
            && segments.next().is_some()
            && segments.next().is_some_and(|key| key.eq_ignore_ascii_case("providers"));
        let (namespace, name) = (segments.next()?, segments.next()?);
        let is_whole = segments.next().is_some() && segments.next().is_none();
        Self::ALL.into_iter().find(|kind| {
            let kind = kind.resource_type();
            in_group
                && is_whole
                && kind.namespace.eq_ignore_ascii_case(namespace)
                && kind.name.eq_ignore_ascii_case(name)
        })
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Where the services of this cloud are, for anybody.
    Endpoints,
    Tenants,
    Subscriptions,
    Subscription(SubscriptionId),
    /// The providers, or one of them, as a subscription or the tenant sees them.
    Providers {
        subscription: Option<SubscriptionId>,
        namespace: Option<String>,
    },
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
    /// The state of a write that a client asks after.
    Operation {
        subscription: SubscriptionId,
        id: String,
    },
}

impl Route {
    /// Where `path` leads; `version` is told when it leads nowhere.
    pub(super) fn of(path: &str, version: &str) -> Result<Self, ArmError> {
        // Clients put a scope, which begins with a slash, behind a slash of their own.
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
    pub(super) fn require_version(&self, version: Option<&str>) -> Result<(), ArmError> {
        let resource_type = match self {
            Self::Endpoints => return endpoints::require_version(version),
            Self::Tenants => &version::TENANTS,
            Self::Subscriptions | Self::Subscription(_) => &version::SUBSCRIPTIONS,
            Self::Providers { .. } | Self::Register { .. } => &version::PROVIDERS,
            Self::Groups(_) | Self::Group(_) | Self::Resources(_) => &version::GROUPS,
            Self::List { kind, .. } | Self::Resource { kind, .. } => kind.resource_type(),
            Self::SystemAssigned(_) => &version::SYSTEM_ASSIGNED,
            Self::RoleAssignments(_) | Self::RoleAssignment { .. } => &version::ROLE_ASSIGNMENTS,
            Self::RoleDefinitions(_) | Self::RoleDefinition { .. } => &version::ROLE_DEFINITIONS,
            Self::Operation { .. } => &version::OPERATIONS,
        };
        resource_type.require(version, None)
    }

    /// The subscription that the path names.
    pub(super) fn subscription(&self) -> Option<SubscriptionId> {
        match self {
            Self::Endpoints | Self::Tenants | Self::Subscriptions => None,
            Self::Subscription(id) => Some(*id),
            Self::Providers { subscription, .. } => *subscription,
            Self::Register { subscription, .. } | Self::Operation { subscription, .. } => {
                Some(*subscription)
            }
            Self::Groups(id)
            | Self::Group(id)
            | Self::Resources(id)
            | Self::List { parent: id, .. }
            | Self::Resource { id, .. }
            | Self::SystemAssigned(id) => Some(id.subscription()),
            Self::RoleAssignments(scope)
            | Self::RoleAssignment { scope, .. }
            | Self::RoleDefinitions(scope)
            | Self::RoleDefinition { scope, .. } => scope.subscription(),
        }
    }

    /// The methods that it takes, as in `Allow` (RFC 9110 section 10.2.1).
    pub(super) const fn allowed(&self) -> &'static str {
        match self {
            Self::Register { .. } => "POST",
            Self::Group(_) | Self::Resource { .. } => "GET, HEAD, PUT, PATCH, DELETE",
            Self::RoleAssignment { .. } => "GET, HEAD, PUT, DELETE",
            _ => "GET, HEAD",
        }
    }

    /// That the route takes `method`.
    pub(super) fn allows(&self, method: &Method) -> Result<(), ArmError> {
        let allowed = self.allowed();
        let refused = || ArmError::MethodNotAllowed { method: method.to_string(), allowed };
        let known = allowed.split(", ").any(|one| one == method.as_str());
        known.then_some(()).ok_or_else(refused)
    }
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.()".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_byte)).then(|| text.into_owned())
}

fn lower(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|segment| segment.to_ascii_lowercase()).collect()
}

/// A path that ends at the name of a management group: that is a scope, not a provider's resource.
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
        ("microsoft.compute", ["locations", _, "operations", id]) => Ok(Route::Operation {
            subscription: optional_subscription(scope)?.ok_or(ArmError::NoSuchPath)?,
            id: (*id).to_owned(),
        }),
        _ => resource(scope, namespace, rest, version),
    }
}

fn resource(
    scope: &[&str],
    namespace: &str,
    rest: &[&str],
    version: &str,
) -> Result<Route, ArmError> {
    let mut of_provider =
        version::ALL.iter().filter(|known| known.namespace.eq_ignore_ascii_case(namespace));
    let own = of_provider.next().ok_or_else(|| ArmError::InvalidNamespace(namespace.to_owned()))?;
    let fits = |kind: &Kind| {
        let known = kind.resource_type();
        known.namespace == own.namespace
            && rest.first().is_some_and(|name| known.name.eq_ignore_ascii_case(name))
    };
    let kind = Kind::ALL.into_iter().find(fits);
    let unknown = || ArmError::InvalidResourceType {
        kind: rest.iter().step_by(2).copied().collect::<Vec<_>>().join("/"),
        namespace: own.namespace.to_owned(),
        version: version.to_owned(),
    };
    match (kind, rest) {
        (Some(kind), [_]) => Ok(Route::List { kind, parent: parent_of(scope)? }),
        (Some(kind), [_, name]) => {
            let (group, full_name) = (in_group(scope)?, kind.resource_type().full_name());
            let id = format!("{group}/providers/{full_name}/{name}").parse();
            Ok(Route::Resource { kind, id: id.map_err(|_| ArmError::NoSuchPath)? })
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

/// The usual spelling of the segments that are the same in all scopes.
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUB: &str = "/subscriptions/00000000-0000-0000-0000-00000000000a";

    fn route(path: &str) -> Result<Route, ArmError> {
        Route::of(path, "2024-11-30")
    }

    #[test]
    fn keywords_ignore_case_and_names_keep_theirs() {
        let id = format!(
            "{SUB}/resourceGroups/Rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Ab-1"
        );
        let expected = Route::Resource { kind: Kind::UserAssigned, id: id.parse().unwrap() };
        for path in [
            id.clone(),
            format!("{id}/"),
            format!("/{id}"),
            format!(
                "{SUB}/RESOURCEGROUPS/Rg/Providers/MICROSOFT.managedidentity/userassignedIDENTITIES/Ab%2D1"
            ),
        ] {
            let found = route(&path).unwrap();
            let Route::Resource { id: found_id, .. } = &found else { panic!("{found:?}") };
            assert_eq!((found_id.as_str(), &found), (id.as_str(), &expected));
            assert_eq!(Kind::of(found_id), Some(Kind::UserAssigned));
        }
    }

    #[test]
    fn lists_scopes_and_fixed_paths_are_found() {
        let group = format!("{SUB}/resourceGroups/g");
        let vms = "providers/Microsoft.Compute/virtualMachines";
        assert!(matches!(route(&format!("{SUB}/{vms}")), Ok(Route::List { .. })));
        assert!(matches!(route(&format!("{group}/{vms}")), Ok(Route::List { .. })));
        assert!(matches!(route(&group), Ok(Route::Group(_))));
        assert!(matches!(route(&format!("{SUB}/resourceGroups")), Ok(Route::Groups(_))));
        assert_eq!(route("/Subscriptions").unwrap(), Route::Subscriptions);
        assert_eq!(route("/tenants").unwrap(), Route::Tenants);
        assert_eq!(route("//Metadata/endpoints/").unwrap(), Route::Endpoints);
        let assignments = "/providers/Microsoft.Authorization/roleAssignments";
        for scope in [
            "/".to_owned(),
            SUB.to_owned(),
            group.clone(),
            format!("{group}/{vms}/v"),
            "/providers/Microsoft.Management/managementGroups/m".to_owned(),
        ] {
            let path = format!("{}{assignments}", scope.trim_end_matches('/'));
            assert_eq!(route(&path).unwrap(), Route::RoleAssignments(scope.parse().unwrap()));
            let path = format!("/{path}/x");
            assert!(matches!(route(&path), Ok(Route::RoleAssignment { .. })), "{path}");
        }
        let identity =
            format!("{group}/{vms}/v/providers/Microsoft.ManagedIdentity/identities/default");
        assert!(matches!(route(&identity), Ok(Route::SystemAssigned(_))));
        let operation = format!("{SUB}/providers/Microsoft.Compute/locations/westus/operations/x");
        assert!(matches!(route(&operation), Ok(Route::Operation { .. })));
        let register = format!("{SUB}/providers/Microsoft.Compute/register");
        assert!(matches!(route(&register), Ok(Route::Register { .. })));
    }

    #[test]
    fn what_leads_nowhere_says_why() {
        let code = |path: &str| {
            route(path).unwrap_err().body()["error"]["code"].as_str().unwrap().to_owned()
        };
        let group = format!("{SUB}/resourceGroups/g");
        for (path, expected) in [
            ("/".to_owned(), "NotFound"),
            ("/x/y".to_owned(), "NotFound"),
            (format!("{SUB}/x"), "NotFound"),
            (format!("{SUB}//resourceGroups"), "NotFound"),
            (format!("{group}/../g"), "NotFound"),
            (format!("{group}%2Fx"), "NotFound"),
            ("/subscriptions/nope".to_owned(), "InvalidSubscriptionId"),
            (format!("{SUB}/resourceGroups/g."), "InvalidResourceGroup"),
            (format!("{group}/providers/Contoso.Foo/bars/b"), "InvalidResourceNamespace"),
            (format!("{group}/providers/Microsoft.Compute/disks/d"), "InvalidResourceType"),
            (
                format!("{group}/providers/Microsoft.Compute/virtualMachines/v/extensions/e"),
                "InvalidResourceType",
            ),
            ("/providers/Microsoft.Compute/virtualMachines/v".to_owned(), "NotFound"),
        ] {
            assert_eq!(code(&path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/|subscriptions|providers|%2F|\\.\\.|Microsoft.Compute|[a-z%]{0,4}|\\PC{0,3}){0,20}") {
            let _ = route(&path);
        }
    }
}
