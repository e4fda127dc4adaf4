//! The `identity` property of a resource, and the result of a `PUT` or a `PATCH` of it.
//!
//! These rules look at names alone. The caller checks the result: every named identity must exist and be the
//! client's to assign (azure-rest-api-specs, `VirtualMachineIdentity`; Azure's page on managed identities of
//! virtual machines).

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::request::content::{property, unexpected};
use crate::service::arm::request::route::Kind;

/// Largest number of user-assigned identities of a machine, and of a request.
const USER_ASSIGNED_MAX: usize = 1000;

/// Kinds of identity that a `type` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdentityType {
    pub(crate) system_assigned: bool,
    pub(crate) user_assigned: bool,
}

impl IdentityType {
    pub(crate) const NONE: Self = Self { system_assigned: false, user_assigned: false };

    /// Returns the spelling of Azure.
    pub(crate) const fn name(self) -> &'static str {
        match (self.system_assigned, self.user_assigned) {
            (false, false) => "None",
            (true, false) => "SystemAssigned",
            (false, true) => "UserAssigned",
            (true, true) => "SystemAssigned, UserAssigned",
        }
    }

    /// Parses a type in any case, in either order, with or without the blank.
    fn parse(text: &str) -> Option<Self> {
        let mut found = Self::NONE;
        if text.eq_ignore_ascii_case("None") {
            return Some(found);
        }
        for word in text.split(',').map(str::trim) {
            let flag = match word.to_ascii_lowercase().as_str() {
                "systemassigned" => &mut found.system_assigned,
                "userassigned" => &mut found.user_assigned,
                _ => return None,
            };
            if *flag {
                return None;
            }
            *flag = true;
        }
        Some(found)
    }
}

/// Parsed `identity` property of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityRequest {
    kind: Option<IdentityType>,
    /// The identities to assign.
    assign: Vec<ArmId>,
    /// The identities to remove: those whose value is `null`.
    remove: Vec<ArmId>,
}

/// Identities of a machine, current or planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identities {
    pub(crate) system_assigned: bool,
    /// User-assigned identities without repeats, in any order.
    pub(crate) user_assigned: Vec<ArmId>,
}

impl Identities {
    /// No identity.
    pub(crate) const NONE: Self = Self { system_assigned: false, user_assigned: Vec::new() };

    /// Returns the `type` for these identities.
    pub(crate) const fn kind(&self) -> IdentityType {
        IdentityType {
            system_assigned: self.system_assigned,
            user_assigned: !self.user_assigned.is_empty(),
        }
    }
}

impl IdentityRequest {
    /// Parses the property. Ids that the service sets itself are ignored.
    pub(crate) fn parse(identity: &Map<String, Value>) -> Result<Self, ArmError> {
        let kind = property(identity, "type").filter(|value| !value.is_null());
        let kind = kind.map(|value| {
            let invalid =
                || invalid("The value of parameter identity.type is invalid.", "identity.type");
            value.as_str().and_then(IdentityType::parse).ok_or_else(invalid)
        });
        let mut request = Self { kind: kind.transpose()?, assign: Vec::new(), remove: Vec::new() };
        let named = property(identity, "userAssignedIdentities").filter(|value| !value.is_null());
        let Some(named) = named else { return Ok(request) };
        let malformed =
            || unexpected("identity.userAssignedIdentities", "an object of objects or nulls");
        let named = named.as_object().ok_or_else(malformed)?;
        require_few(named.len())?;
        let mut seen = HashSet::new();
        for (name, value) in named {
            let id = user_assigned_id(name)?;
            if !seen.insert(id.clone()) {
                let text = format!("The identity '{name}' is given more than once.");
                return Err(invalid(&text, "identity.userAssignedIdentities"));
            }
            match value {
                Value::Null => request.remove.push(id),
                Value::Object(_) => request.assign.push(id),
                _ => return Err(malformed()),
            }
        }
        Ok(request)
    }

    /// Returns the identities that the request assigns.
    pub(crate) fn assigned(&self) -> &[ArmId] {
        &self.assign
    }

    /// Returns the result of a `PUT`: the identities in the request and no others.
    pub(crate) fn replace(&self) -> Result<Identities, ArmError> {
        let inferred =
            IdentityType { system_assigned: false, user_assigned: !self.assign.is_empty() };
        let kind = self.kind.unwrap_or(inferred);
        self.refuse_unwanted(kind)?;
        if kind.user_assigned && self.assign.is_empty() {
            return Err(required(kind));
        }
        let user_assigned = if kind.user_assigned { self.assign.clone() } else { Vec::new() };
        Ok(Identities { system_assigned: kind.system_assigned, user_assigned })
    }

    /// Returns the result of a `PATCH` of `current`. Identities are added and removed one by one. If the type
    /// omits a kind, all identities of that kind are removed.
    pub(crate) fn merge(&self, current: &Identities) -> Result<Identities, ArmError> {
        let inferred = IdentityType {
            system_assigned: current.system_assigned,
            user_assigned: current.kind().user_assigned || !self.assign.is_empty(),
        };
        let kind = self.kind.unwrap_or(inferred);
        self.refuse_unwanted(kind)?;
        if !kind.user_assigned {
            return Ok(Identities {
                system_assigned: kind.system_assigned,
                user_assigned: Vec::new(),
            });
        }
        let (removed, held) = (set(&self.remove), set(&current.user_assigned));
        let kept = current.user_assigned.iter().filter(|id| !removed.contains(id));
        let added = self.assign.iter().filter(|id| !held.contains(id));
        let user_assigned: Vec<ArmId> = kept.chain(added).cloned().collect();
        require_few(user_assigned.len())?;
        // Removing the last identity is allowed. Asking for the kind without any identity is an error.
        if user_assigned.is_empty() && self.remove.is_empty() {
            return Err(required(kind));
        }
        Ok(Identities { system_assigned: kind.system_assigned, user_assigned })
    }

    fn refuse_unwanted(&self, kind: IdentityType) -> Result<(), ArmError> {
        if kind.user_assigned || self.assign.is_empty() {
            return Ok(());
        }
        let text = format!(
            "ResourceIdentity identityIds should not be provided if the type is \"{}\".",
            kind.name()
        );
        Err(invalid(&text, "resourceIdentity.identityIds"))
    }
}

/// Returns the ids as a set, for fast lookups.
pub(crate) fn set(ids: &[ArmId]) -> HashSet<&ArmId> {
    ids.iter().collect()
}

fn require_few(count: usize) -> Result<(), ArmError> {
    if count <= USER_ASSIGNED_MAX {
        return Ok(());
    }
    let text = format!(
        "The number of user assigned identities exceeds the maximum of '{USER_ASSIGNED_MAX}'."
    );
    Err(invalid(&text, "identity.userAssignedIdentities"))
}

fn required(kind: IdentityType) -> ArmError {
    let text = format!(
        "ResourceIdentity identityIds should be provided if the type is \"{}\".",
        kind.name()
    );
    invalid(&text, "resourceIdentity.identityIds")
}

fn invalid(message: &str, target: &str) -> ArmError {
    ArmError::InvalidParameter { message: message.to_owned(), target: target.to_owned() }
}

fn user_assigned_id(text: &str) -> Result<ArmId, ArmError> {
    let id = text.parse::<ArmId>().ok();
    let id = id.filter(|id| Kind::of(id) == Some(Kind::UserAssigned));
    id.ok_or_else(|| ArmError::InvalidName {
        code: "LinkedInvalidPropertyId",
        message: format!(
            "Property id '{text}' at path 'identity.userAssignedIdentities' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{{subscriptionId}}' or '/providers/{{resourceProviderNamespace}}/'."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn id(name: &str) -> String {
        format!(
            "/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )
    }

    /// Builds a request from a `type` and user-assigned identities: `+a` is `{}`, `-a` is `null`.
    fn request(kind: &str, named: &str) -> Result<IdentityRequest, ArmError> {
        let mut identity = json!({});
        if !kind.is_empty() {
            identity["type"] = json!(kind);
        }
        for name in named.split_whitespace() {
            let value = if name.starts_with('-') { Value::Null } else { json!({}) };
            identity["userAssignedIdentities"][id(&name[1..])] = value;
        }
        IdentityRequest::parse(identity.as_object().unwrap())
    }

    /// Parses `S` for system-assigned, then the names of the user-assigned identities.
    fn identities(text: &str) -> Identities {
        let named = text.split_whitespace().filter(|word| *word != "S");
        Identities {
            system_assigned: text.split_whitespace().any(|word| word == "S"),
            user_assigned: named.map(|name| id(name).parse().unwrap()).collect(),
        }
    }

    fn shown(result: Result<Identities, ArmError>) -> String {
        match result {
            Ok(made) => {
                let names = made.user_assigned.iter().map(|id| id.name().to_owned());
                let own = made.system_assigned.then(|| "S".to_owned());
                own.into_iter().chain(names).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.body()["error"]["code"].as_str().unwrap().to_owned(),
        }
    }

    const REFUSED: &str = "InvalidParameter";

    #[test]
    fn a_put_replaces() {
        for (kind, named, made) in [
            ("None", "", ""),
            ("", "", ""),
            ("SystemAssigned", "", "S"),
            ("SystemAssigned", "-a", "S"),
            ("UserAssigned", "+a +b", "a b"),
            ("UserAssigned", "+a -b", "a"),
            ("SystemAssigned, UserAssigned", "+a", "S a"),
            ("", "+a", "a"),
            ("None", "+a", REFUSED),
            ("SystemAssigned", "+a", REFUSED),
            ("UserAssigned", "", REFUSED),
            ("UserAssigned", "-a", REFUSED),
            ("SystemAssigned,UserAssigned", "", REFUSED),
        ] {
            let result = request(kind, named).and_then(|request| request.replace());
            assert_eq!(shown(result), made, "{kind} {named}");
        }
    }

    #[test]
    fn a_patch_merges() {
        let both = "SystemAssigned, UserAssigned";
        for (current, kind, named, made) in [
            // Types alone.
            ("", "None", "", ""),
            ("S a b", "None", "", ""),
            ("", "SystemAssigned", "", "S"),
            ("S", "SystemAssigned", "", "S"),
            ("a b", "SystemAssigned", "", "S"),
            ("S a", "SystemAssigned", "", "S"),
            ("S a b", "UserAssigned", "", "a b"),
            ("a", both, "", "S a"),
            ("S a", both, "", "S a"),
            ("S", "UserAssigned", "", REFUSED),
            ("", "UserAssigned", "", REFUSED),
            ("S", both, "", REFUSED),
            // Identities are added, kept and taken away.
            ("", "UserAssigned", "+a", "a"),
            ("a", "UserAssigned", "+b", "a b"),
            ("a b", "UserAssigned", "-a", "b"),
            ("a b", "UserAssigned", "-a +c", "b c"),
            ("S a", "UserAssigned", "+b", "a b"),
            ("S", both, "+a", "S a"),
            ("S a", both, "+b -a", "S b"),
            ("a", "UserAssigned", "+a", "a"),
            ("a", "UserAssigned", "-x", "a"),
            // The last one may be taken away.
            ("a", "UserAssigned", "-a", ""),
            ("S a", both, "-a", "S"),
            // Without a type, the kinds stay.
            ("S a", "", "", "S a"),
            ("S a", "", "-a", "S"),
            ("S", "", "+a", "S a"),
            ("", "", "+a", "a"),
            ("", "", "", ""),
            // Contradictions.
            ("a", "SystemAssigned", "+b", REFUSED),
            ("a", "SystemAssigned", "-a", "S"),
            ("a", "None", "+b", REFUSED),
            ("a", "None", "-a", ""),
        ] {
            let result = request(kind, named).and_then(|own| own.merge(&identities(current)));
            assert_eq!(shown(result), made, "[{current}] {kind} {named}");
        }
    }

    #[test]
    fn the_type_is_read_in_every_spelling_that_clients_use() {
        for text in [
            "SystemAssigned, UserAssigned",
            "SystemAssigned,UserAssigned",
            "systemassigned, userassigned",
            "UserAssigned,SystemAssigned",
            " SYSTEMASSIGNED , USERASSIGNED ",
        ] {
            let kind = IdentityType::parse(text).map(IdentityType::name);
            assert_eq!(kind, Some("SystemAssigned, UserAssigned"), "{text}");
        }
        assert_eq!(IdentityType::parse("none"), Some(IdentityType::NONE));
        for text in ["", ",", "Both", "None, SystemAssigned", "SystemAssigned,SystemAssigned"] {
            assert_eq!(IdentityType::parse(text), None, "{text}");
        }
    }

    #[test]
    fn identities_are_named_by_whole_ids_once_whatever_their_case() {
        let parse = |named: Value| {
            let identity = json!({"Type": "UserAssigned", "userassignedidentities": named});
            shown(
                IdentityRequest::parse(identity.as_object().unwrap()).and_then(|own| own.replace()),
            )
        };
        assert_eq!(parse(json!({id("a"): {"principalId": "x"}})), "a");
        assert_eq!(parse(json!({id("a"): {}, id("a").to_lowercase(): {}})), REFUSED);
        assert_eq!(parse(json!({id("a"): {}, id("a").to_uppercase(): null})), REFUSED);
        assert_eq!(parse(json!({id("a"): 1})), "InvalidRequestContent");
        assert_eq!(parse(json!([])), "InvalidRequestContent");
        for bad in [
            "a".to_owned(),
            String::new(),
            format!("{}/b/c", id("a")),
            id("a").replace("userAssigned", "other"),
        ] {
            assert_eq!(parse(json!({bad: {}})), "LinkedInvalidPropertyId");
        }
    }

    #[test]
    fn a_machine_has_a_bounded_number_of_identities() {
        let refused = |error: ArmError| error.body()["error"]["target"].clone();
        let target = json!("identity.userAssignedIdentities");
        // Too many entries are refused before any of them is parsed: these are not valid ids.
        let names = (0..=USER_ASSIGNED_MAX).map(|n| (n.to_string(), Value::Null));
        let many = json!({"userAssignedIdentities": names.collect::<Map<_, _>>()});
        assert_eq!(refused(IdentityRequest::parse(many.as_object().unwrap()).unwrap_err()), target);
        let names: Vec<_> = (0..USER_ASSIGNED_MAX).map(|n| n.to_string()).collect();
        let full = identities(&names.join(" "));
        assert_eq!(refused(request("", "+one").unwrap().merge(&full).unwrap_err()), target);
        assert!(request("", "-0 +one").unwrap().merge(&full).is_ok());
    }

    proptest! {
        #[test]
        fn a_merge_keeps_each_identity_once_and_what_was_not_named(
            current in proptest::sample::subsequence(vec!["S", "a", "b", "c", "d"], 0..=5),
            assign in proptest::sample::subsequence(vec!["a", "b", "c"], 0..=3),
            kind in proptest::sample::select(vec!["", "UserAssigned", "SystemAssigned,UserAssigned"]),
        ) {
            let current = identities(&current.join(" "));
            let named: Vec<_> = assign.iter().map(|name| format!("+{name}")).collect();
            let request = request(kind, &named.join(" ")).unwrap();
            if let Ok(made) = request.merge(&current) {
                let mut once = made.user_assigned.clone();
                once.sort();
                once.dedup();
                prop_assert_eq!(once.len(), made.user_assigned.len());
                prop_assert!(current.user_assigned.iter().all(|id| made.user_assigned.contains(id)));
                prop_assert!(request.assigned().iter().all(|id| made.user_assigned.contains(id)));
            }
        }
    }
}
