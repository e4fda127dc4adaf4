//! What a request asks for, as far as rules look at it.

use std::sync::Arc;

use hyper::header::HeaderMap;
use serde_json::Value;

use crate::base::http::bearer_token;
use crate::base::ids::{ArmId, ClientId};
use crate::base::synthetic::IdentityIds;
use crate::service::directory::{Principal, State};
use crate::service::token::unverified_claims;
use crate::service::world::{Identity, Vm};

/// What a request asks for. Names are in all spellings that a rule may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Names of the virtual machine that calls: the id that no other has, and the name.
    pub vm: Vec<String>,
    /// Names of the identity: client id, object id, name, and resource id.
    pub identity: Vec<String>,
    /// Resource of the token, path of the control plane, or name of the vault.
    pub resource: Option<String>,
    /// True if a token answers the request.
    pub wants_token: bool,
}

impl Asked {
    /// Returns a request of a virtual machine for an identity and a resource.
    pub(crate) fn of_vm(
        vm: Option<&Arc<Vm>>,
        identity: Option<&Arc<Identity>>,
        resource: Option<String>,
    ) -> Self {
        let vm = vm.map(|vm| &vm.record.id);
        Self {
            vm: vm.map(names_of_id).unwrap_or_default(),
            identity: identity
                .map(|own| names_of_identity(own.ids, &own.resource_id))
                .unwrap_or_default(),
            wants_token: resource.is_some(),
            resource,
        }
    }

    /// Returns a request of the service principal with this client id.
    pub(crate) fn of_client(state: &State, client_id: &str, resource: Option<String>) -> Self {
        let id = client_id.parse::<ClientId>().ok();
        let known = id.and_then(|id| state.client(id)).map(names_of_principal);
        let identity = known.unwrap_or_else(|| vec![client_id.to_owned()]);
        Self { identity, resource, ..Self::default() }
    }

    /// Returns a request with a bearer token, which is read and not checked.
    pub(crate) fn of_bearer(headers: &HeaderMap, state: &State, resource: String) -> Self {
        let claims = bearer_token(headers).and_then(unverified_claims).unwrap_or_default();
        let client_id = claims.get("appid").and_then(Value::as_str).unwrap_or_default();
        Self::of_client(state, client_id, Some(resource))
    }

    /// Returns the name by which requests are counted: the machine, or else the identity.
    pub(super) fn caller(&self) -> &str {
        self.vm.first().or(self.identity.first()).map_or("", String::as_str)
    }

    /// Returns true if each list is empty or names the request.
    pub(super) fn is_of(
        &self,
        vms: &[String],
        identities: &[String],
        resources: &[String],
    ) -> bool {
        let resource = self.resource.as_deref();
        names_one(vms, &self.vm)
            && names_one(identities, &self.identity)
            && (resources.is_empty()
                || resource.is_some_and(|own| resources.iter().any(|named| is_within(own, named))))
    }
}

fn names_one(named: &[String], own: &[String]) -> bool {
    let is_own = |name: &String| own.iter().any(|own| own.eq_ignore_ascii_case(name));
    named.is_empty() || named.iter().any(is_own)
}

/// Returns true if `own` is `named`, or is below it. Letters and a slash at the end make no difference.
fn is_within(own: &str, named: &str) -> bool {
    let named = named.trim_end_matches('/');
    let is_same = |start: &str| start.eq_ignore_ascii_case(named);
    own.split_at_checked(named.len())
        .is_some_and(|(start, rest)| is_same(start) && (rest.is_empty() || rest.starts_with('/')))
}

pub(super) fn names_of_id(id: &ArmId) -> Vec<String> {
    vec![id.to_string(), id.name().to_owned()]
}

fn names_of_identity(ids: IdentityIds, resource_id: &ArmId) -> Vec<String> {
    let IdentityIds { client_id, principal_id } = ids;
    let ids = [client_id.to_string(), principal_id.to_string()];
    ids.into_iter().chain(names_of_id(resource_id)).collect()
}

fn names_of_principal(principal: &Principal) -> Vec<String> {
    match principal {
        Principal::ManagedIdentity(own) => names_of_identity(own.ids, &own.resource_id),
        Principal::Application(own) => {
            vec![own.client_id.to_string(), own.principal_id.to_string(), own.display_name.clone()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_a_resource_in_any_spelling_and_all_that_is_below_it() {
        for (own, named, is_named) in [
            ("https://vault.azure.net", "https://vault.azure.net/", true),
            ("https://VAULT.azure.net/.default", "https://vault.azure.net", true),
            ("https://vault.azure.net.example", "https://vault.azure.net", false),
            ("/subscriptions/s/resourceGroups/rg/x", "/subscriptions/S/resourcegroups/rg", true),
            ("/subscriptions/s/resourceGroups/rg-2", "/subscriptions/s/resourceGroups/rg", false),
            ("é", "e", false),
        ] {
            assert_eq!(is_within(own, named), is_named, "{own} {named}");
        }
    }

    #[test]
    fn a_request_without_a_resource_meets_only_rules_for_all() {
        let asked = Asked { vm: vec!["vm-1".to_owned()], ..Asked::default() };
        let list = |name: &str| [name.to_owned()];
        assert!(asked.is_of(&[], &[], &[]) && asked.is_of(&list("VM-1"), &[], &[]));
        assert!(!asked.is_of(&[], &list("a"), &[]) && !asked.is_of(&[], &[], &list("r")));
    }
}
