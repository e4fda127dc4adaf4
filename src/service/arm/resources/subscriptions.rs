//! Tenants, subscriptions, and the providers that they are registered with.

use serde_json::{Value, json};

use crate::base::ids::{ArmId, SubscriptionId};
use crate::service::arm::error::ArmError;
use crate::service::arm::list::Page;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::version;
use crate::service::directory::State;
use crate::service::world::record::{Subscription, Tenant};

const READ: &str = "Microsoft.Resources/subscriptions/read";
const PROVIDERS_READ: &str = "Microsoft.Resources/subscriptions/providers/read";

/// `GET /tenants`: lists the caller's own tenant.
pub(crate) fn tenants(call: &Call, state: &State) -> Result<Reply, ArmError> {
    let page = Page::of(call)?;
    let after = page.after()?;
    let own = call.actor.tenant_id();
    let tenants = state.tenants().filter(|tenant| own.is_none_or(|own| own == tenant.id));
    let rest = tenants.filter(|tenant| after.is_none_or(|after| tenant.id > after));
    Ok(page.reply(call, rest, |tenant| tenant.id.to_string(), |tenant| show_tenant(tenant)))
}

fn show_tenant(tenant: &Tenant) -> Value {
    json!({
        "id": format!("/tenants/{}", tenant.id),
        "tenantId": tenant.id.to_string(),
        "displayName": "mintbench",
        "tenantCategory": "Home",
        "domains": [],
    })
}

/// `GET /subscriptions`: lists those that the caller may read, or in which it holds a role.
pub(crate) fn list(call: &Call, state: &State) -> Result<Reply, ArmError> {
    let page = Page::of(call)?;
    let after = page.after::<SubscriptionId>()?;
    let seen = state.subscriptions().filter(|subscription| is_seen(call, state, subscription));
    let rest = seen.filter(|subscription| after.is_none_or(|after| subscription.id > after));
    Ok(page.reply(call, rest, |own| own.id.to_string(), |own| show(own)))
}

fn is_seen(call: &Call, state: &State, subscription: &Subscription) -> bool {
    let is_own = call.actor.tenant_id().is_none_or(|tenant| tenant == subscription.tenant);
    let path = format!("/subscriptions/{}", subscription.id);
    let holds = || path.parse::<ArmId>().is_ok_and(|id| call.actor.has_role_in(state, &id));
    is_own && (call.may(state, READ, &path) || holds())
}

/// `GET /subscriptions/{id}`.
pub(crate) fn get(call: &Call, state: &State, id: SubscriptionId) -> Result<Reply, ArmError> {
    let subscription = found(state, id)?;
    if !is_seen(call, state, &subscription) {
        call.require(state, READ, &format!("/subscriptions/{id}"))?;
    }
    Ok(Reply::ok(show(&subscription)))
}

/// Returns a subscription, or an error if it does not exist.
pub(crate) fn found(
    state: &State,
    id: SubscriptionId,
) -> Result<std::sync::Arc<Subscription>, ArmError> {
    let missing = || ArmError::SubscriptionNotFound(id.to_string());
    state.subscription(id).cloned().ok_or_else(missing)
}

fn show(subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id.to_string(),
        "tenantId": subscription.tenant.to_string(),
        "displayName": subscription.display_name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// `GET [/subscriptions/{id}]/providers[/{namespace}]`, and the answer to `.../register`. Every provider is
/// registered everywhere.
pub(crate) fn providers(
    call: &Call,
    state: &State,
    subscription: Option<SubscriptionId>,
    namespace: Option<&str>,
) -> Result<Reply, ArmError> {
    let prefix = subscription.map(|id| format!("/subscriptions/{id}"));
    if let Some(scope) = &prefix {
        call.require(state, PROVIDERS_READ, scope)?;
    }
    let prefix = prefix.unwrap_or_default();
    let known = namespaces();
    let Some(namespace) = namespace else {
        let all: Vec<_> = known.iter().map(|one| show_provider(&prefix, one)).collect();
        return Ok(Reply::ok(json!({"value": all})));
    };
    let one = known.into_iter().find(|one| one.eq_ignore_ascii_case(namespace));
    let one = one.ok_or_else(|| ArmError::InvalidNamespace(namespace.to_owned()))?;
    Ok(Reply::ok(show_provider(&prefix, one)))
}

fn namespaces() -> Vec<&'static str> {
    let mut names: Vec<_> = version::ALL.iter().map(|kind| kind.namespace).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn show_provider(prefix: &str, namespace: &str) -> Value {
    let own = version::ALL.iter().filter(|kind| kind.namespace == namespace);
    let types: Vec<_> = own
        .map(|kind| {
            let newest_first: Vec<_> = kind.versions.iter().rev().collect();
            json!({"resourceType": kind.name, "locations": [], "apiVersions": newest_first})
        })
        .collect();
    json!({
        "id": format!("{prefix}/providers/{namespace}"),
        "namespace": namespace,
        "registrationPolicy": "RegistrationFree",
        "registrationState": "Registered",
        "resourceTypes": types,
    })
}
