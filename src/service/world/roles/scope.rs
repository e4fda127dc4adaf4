//! Scopes of role assignments.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::base::ids::{ArmId, SubscriptionId};

/// Reason why a text is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseScopeError {
    /// It has none of the forms of a scope.
    #[error(
        "`{0}` is not a scope; write it as /, /providers/Microsoft.Management/managementGroups/<name> or /subscriptions/<id>[/resourceGroups/<name>][/providers/<namespace>/<type>/<name>]"
    )]
    Malformed(String),
    /// It has this many bytes, more than Azure allows in a URL.
    #[error("a scope of {0} bytes is longer than {LEN_MAX}; shorten its names")]
    TooLong(usize),
}

/// Azure's limit on a resource id in a URL, in bytes.
const LEN_MAX: usize = 2048;

/// The segments before the name of a management group.
const MANAGEMENT_GROUPS: [&str; 3] = ["providers", "Microsoft.Management", "managementGroups"];

/// The scope of a role assignment, and the place of an action.
///
/// One of: `/` (the whole tenant), a management group, a subscription, a resource group, a resource or a part
/// of one (`.../vaults/v/secrets/s`). Comparison and order ignore ASCII case, as for resource ids. `Display`
/// returns the original spelling (Azure RBAC, "Understand scope"). Cloning shares the text.
#[derive(Clone)]
pub struct Scope(Arc<str>);

/// The management groups above a scope. A trait, because they change with the world.
pub trait Hierarchy {
    /// Returns the names of the management groups above `subscription`, the nearest first.
    fn above_subscription(&self, subscription: SubscriptionId) -> impl Iterator<Item = &str>;

    /// Returns the names of the management groups above `management_group`, the nearest first. By default
    /// there are none.
    fn above_management_group(&self, management_group: &str) -> impl Iterator<Item = &str> {
        let _ = management_group;
        std::iter::empty()
    }
}

/// The hierarchy of a tenant in which no subscription is in a management group.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoManagementGroups;

#[cfg(test)]
impl Hierarchy for NoManagementGroups {
    fn above_subscription(&self, _: SubscriptionId) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

impl Scope {
    /// Returns the original spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `/`, the whole tenant.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Returns true if the scope is `/`, the whole tenant.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// Returns the subscription that the scope is or lies in.
    pub fn subscription(&self) -> Option<SubscriptionId> {
        self.value_after(&["subscriptions"])?.parse().ok()
    }

    /// Returns the name of the resource group that the scope is or lies in.
    pub fn resource_group(&self) -> Option<&str> {
        let mut segments = self.segments().skip(2);
        let key = segments.next()?;
        key.eq_ignore_ascii_case("resourceGroups").then(|| segments.next()).flatten()
    }

    /// Returns the name of the management group in the text of the scope. The [`Hierarchy`] knows the groups
    /// above a subscription.
    pub fn management_group(&self) -> Option<&str> {
        self.value_after(&MANAGEMENT_GROUPS)
    }

    /// Returns true if a role at this scope also holds at `other`: it is the same scope or an ancestor of it.
    ///
    /// Only whole segments count: `.../resourceGroups/a` does not contain `.../resourceGroups/ab`.
    pub fn contains(&self, other: &Self, hierarchy: &impl Hierarchy) -> bool {
        self.is_root() || self.is_path_prefix_of(other) || self.governs(other, hierarchy)
    }

    fn is_path_prefix_of(&self, other: &Self) -> bool {
        let other = other.0.as_bytes();
        let same = other
            .get(..self.0.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(self.0.as_bytes()));
        same && other.get(self.0.len()).is_none_or(|next| *next == b'/')
    }

    /// Returns true if the scope is a management group above `other`.
    fn governs(&self, other: &Self, hierarchy: &impl Hierarchy) -> bool {
        let is_whole = self.segments().count() == MANAGEMENT_GROUPS.len() + 1;
        let Some(own) = self.management_group().filter(|_| is_whole) else { return false };
        let is_own = |group: &str| group.eq_ignore_ascii_case(own);
        match (other.subscription(), other.management_group()) {
            (Some(subscription), _) => hierarchy.above_subscription(subscription).any(is_own),
            (None, Some(group)) => hierarchy.above_management_group(group).any(is_own),
            (None, None) => false,
        }
    }

    /// Returns the segment after `keys`, if the scope begins with them.
    fn value_after(&self, keys: &[&str]) -> Option<&str> {
        let mut segments = self.segments();
        keys.iter()
            .all(|key| segments.next().is_some_and(|segment| segment.eq_ignore_ascii_case(key)))
            .then(|| segments.next())
            .flatten()
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    /// Parses the forms listed at [`Scope`], in any letter case, without a trailing slash.
    fn from_str(text: &str) -> Result<Self, ParseScopeError> {
        if text.len() > LEN_MAX {
            return Err(ParseScopeError::TooLong(text.len()));
        }
        if text == "/" || is_below_subscription(text) || is_below_management_group(text) {
            Ok(Self(text.into()))
        } else {
            Err(ParseScopeError::Malformed(text.to_owned()))
        }
    }
}

fn is_below_subscription(text: &str) -> bool {
    let below = text.split('/').skip(3);
    text.parse::<ArmId>().is_ok() && is_chain(Link::Subscription, below)
}

fn is_below_management_group(text: &str) -> bool {
    let mut segments = text.split('/');
    let is_absolute = segments.next() == Some("");
    let mut keys = MANAGEMENT_GROUPS.iter();
    is_absolute
        && keys.all(|key| segments.next().is_some_and(|found| found.eq_ignore_ascii_case(key)))
        && segments.next().is_some_and(is_name)
        && is_chain(Link::Resource, segments)
}

/// Kind of the last pair of a path, which decides what may follow.
#[derive(Clone, Copy)]
enum Link {
    Subscription,
    ResourceGroup,
    Provider,
    Resource,
}

/// Returns true if `segments` are pairs in an order that Azure has. A resource group occurs at most once and
/// first. Provider namespaces follow, each with at least one `type/name` pair.
fn is_chain<'a>(start: Link, mut segments: impl Iterator<Item = &'a str>) -> bool {
    let mut last = start;
    while let Some(key) = segments.next() {
        if !is_name(key) || !segments.next().is_some_and(is_name) {
            return false;
        }
        let opens_group = key.eq_ignore_ascii_case("resourceGroups");
        let opens_provider = key.eq_ignore_ascii_case("providers");
        last = match last {
            Link::Subscription if opens_group => Link::ResourceGroup,
            Link::Provider if !opens_provider => Link::Resource,
            Link::Provider => return false,
            _ if opens_provider => Link::Provider,
            Link::Resource => Link::Resource,
            Link::Subscription | Link::ResourceGroup => return false,
        };
    }
    !matches!(last, Link::Provider)
}

/// Returns true if a segment is a valid name. `.` and `..` are not, because they would change the meaning of
/// a path.
fn is_name(segment: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.()".contains(&byte);
    segment.bytes().all(is_byte) && segment.bytes().any(|byte| byte != b'.')
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Scope {}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff); // Ends the text as `str` does: no scope's hash is a prefix of another's.
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> Ordering {
        let own = self.0.bytes().map(|byte| byte.to_ascii_lowercase());
        own.cmp(other.0.bytes().map(|byte| byte.to_ascii_lowercase()))
    }
}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.0)
    }
}

crate::base::ids::serde_as_text!(Scope);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-00000000000a";
    const GROUP: &str = "/providers/Microsoft.Management/managementGroups/platform";

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn below(path: &str) -> Scope {
        scope(&format!("{SUBSCRIPTION}{path}"))
    }

    /// `root-group` > `platform` > the subscription.
    struct Landing;

    impl Hierarchy for Landing {
        fn above_subscription(&self, subscription: SubscriptionId) -> impl Iterator<Item = &str> {
            let known = below("").subscription() == Some(subscription);
            ["Platform", "root-group"].into_iter().filter(move |_| known)
        }

        fn above_management_group(&self, group: &str) -> impl Iterator<Item = &str> {
            let known = group.eq_ignore_ascii_case("platform");
            ["root-group"].into_iter().filter(move |_| known)
        }
    }

    #[test]
    fn scopes_are_the_forms_that_azure_has() {
        for text in [
            "/",
            GROUP,
            "/Providers/microsoft.management/MANAGEMENTGROUPS/Root(1)",
            &format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments/x"),
            SUBSCRIPTION,
            &format!("{SUBSCRIPTION}/resourceGroups/rg_1.a(b)-c"),
            &format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments/x"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/providers/Microsoft.KeyVault/vaults/v"),
            &format!("{SUBSCRIPTION}/resourcegroups/a/providers/N/vaults/v/secrets/s"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/providers/N/t/n/providers/M/t/n"),
        ] {
            assert_eq!(scope(text).to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "//",
            "subscriptions",
            "/subscriptions",
            "/subscriptions/nope",
            "/providers/Microsoft.Management/managementGroups",
            "/providers/Microsoft.Management/managementGroups/",
            "/providers/Microsoft.Management/managementGroups/a b",
            "/providers/Microsoft.Authorization/roleDefinitions/x",
            "providers/Microsoft.Management/managementGroups/a",
            &format!("{SUBSCRIPTION}/"),
            &format!("{SUBSCRIPTION}/resourceGroups"),
            &format!("{SUBSCRIPTION}/resourceGroups/.."),
            &format!("{SUBSCRIPTION}/resourceGroups/a/resourceGroups/b"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/vaults/v"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/providers/N"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/providers/N/vaults"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/providers/N/providers/M/t/n"),
            &format!("{SUBSCRIPTION}/resourceGroups/a%2Fb"),
        ] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
        let padded = |bytes: usize| {
            let start = format!("{GROUP}/providers/Microsoft.X/types/");
            let rest = "a".repeat(bytes - start.len());
            start + &rest
        };
        assert!(padded(LEN_MAX).parse::<Scope>().is_ok());
        let longer = padded(LEN_MAX + 1).parse::<Scope>();
        assert_eq!(longer, Err(ParseScopeError::TooLong(LEN_MAX + 1)));
        let long = format!("{SUBSCRIPTION}/resourceGroups/{}", "a".repeat(LEN_MAX));
        assert_eq!(long.parse::<Scope>(), Err(ParseScopeError::TooLong(long.len())));
    }

    #[test]
    fn a_scope_tells_what_it_lies_in() {
        let vault = below("/resourceGroups/Rg/providers/Microsoft.KeyVault/vaults/v");
        assert_eq!(vault.resource_group(), Some("Rg"));
        assert_eq!(vault.subscription(), below("").subscription());
        assert!(vault.subscription().is_some());
        assert_eq!(vault.management_group(), None);
        assert_eq!(below("").resource_group(), None);
        assert_eq!(below("/providers/N/resourceGroups/x").resource_group(), None);
        assert_eq!(scope(GROUP).management_group(), Some("platform"));
        assert_eq!(scope("/").subscription(), None);
    }

    #[test]
    fn a_scope_contains_itself_and_what_is_below_it() {
        let chain = [
            scope("/"),
            scope("/providers/Microsoft.Management/managementGroups/ROOT-group"),
            scope(GROUP),
            below(""),
            below("/resourceGroups/rg"),
            below("/resourceGroups/RG/providers/Microsoft.KeyVault/vaults/v"),
            below("/RESOURCEGROUPS/rg/providers/microsoft.keyvault/vaults/V/secrets/s"),
        ];
        for (outer_at, outer) in chain.iter().enumerate() {
            for (inner_at, inner) in chain.iter().enumerate() {
                let expected = outer_at <= inner_at;
                assert_eq!(outer.contains(inner, &Landing), expected, "{outer} {inner}");
            }
        }
    }

    #[test]
    fn a_name_that_only_begins_alike_is_not_contained() {
        let group = below("/resourceGroups/a");
        let vault = below("/resourceGroups/a/providers/N/vaults/v");
        assert!(!group.contains(&below("/resourceGroups/ab"), &Landing));
        assert!(!group.contains(&below("/resourceGroups/ab/providers/N/t/n"), &Landing));
        let longer = below("/resourceGroups/a/providers/N/vaults/v2");
        assert!(!vault.contains(&longer, &Landing));
        assert!(!scope(GROUP).contains(&scope(&format!("{GROUP}s")), &Landing));
    }

    #[test]
    fn a_management_group_holds_its_own_subscriptions_only() {
        let other = scope("/subscriptions/00000000-0000-0000-0000-00000000000b/resourceGroups/rg");
        assert!(!scope(GROUP).contains(&other, &Landing));
        assert!(!scope(GROUP).contains(&below(""), &NoManagementGroups));
        assert!(!scope(GROUP).contains(&scope("/"), &Landing));
        let inside = scope(&format!("{GROUP}/providers/N/roleAssignments/x"));
        assert!(scope(GROUP).contains(&inside, &Landing));
        assert!(!inside.contains(&below(""), &Landing));
    }

    #[test]
    fn serde_goes_through_the_same_door() {
        let written = below("/resourceGroups/Rg");
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(json, format!("\"{SUBSCRIPTION}/resourceGroups/Rg\""));
        assert_eq!(serde_json::from_str::<Scope>(&json).unwrap(), written);
        assert!(serde_json::from_str::<Scope>("\"/subscriptions/nope\"").is_err());
    }

    proptest! {
        #[test]
        fn letter_case_never_tells_scopes_apart(name in "[a-zA-Z0-9]{1,8}", upper: bool) {
            let written = below(&format!("/resourceGroups/{name}"));
            let text = written.as_str();
            let other =
                scope(&if upper { text.to_ascii_uppercase() } else { text.to_ascii_lowercase() });
            prop_assert_eq!(&written, &other);
            prop_assert_eq!(written.cmp(&other), Ordering::Equal);
            prop_assert!(HashSet::from([written.clone()]).contains(&other));
            prop_assert!(written.contains(&other, &Landing));
        }

        #[test]
        fn containing_each_other_is_being_equal(
            one in "(/resourceGroups/[aAb]{1,2}(/providers/N/t/[aB]{1,2}){0,1}){0,1}",
            two in "(/resourceGroups/[aAb]{1,2}(/providers/N/t/[aB]{1,2}){0,1}){0,1}",
        ) {
            let (one, two) = (below(&one), below(&two));
            let mutual = one.contains(&two, &Landing) && two.contains(&one, &Landing);
            prop_assert_eq!(mutual, one == two);
            prop_assert_eq!(one.cmp(&two) == Ordering::Equal, one == two);
        }

        #[test]
        fn parsing_never_panics_and_round_trips(text in "/?\\PC{0,60}") {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string(), text);
            }
        }
    }
}
