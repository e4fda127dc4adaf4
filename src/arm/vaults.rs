//! Key vaults, as resources (Microsoft.KeyVault); what is in them is the `vault` surface's.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::content::{Content, property};
use super::error::ArmError;
use super::list::readable;
use super::reply::Reply;
use super::route::Kind;
use super::tracked::{self, Deed, admit, not_found};
use crate::directory::State;
use crate::ids::ArmId;
use crate::world::is_vault_name;
use crate::world::record::{Change, Record, Vault};

const KIND: Kind = Kind::Vault;

/// `GET` of a vault.
pub(super) fn get(call: &Call, state: &State, id: &ArmId) -> Result<Reply, ArmError> {
    admit(call, state, Deed::Read, KIND, id)?;
    Ok(Reply::ok(show(state, &*existing(state, id)?)))
}

fn existing(state: &State, id: &ArmId) -> Result<Arc<Vault>, ArmError> {
    state.vault(id).cloned().ok_or_else(|| not_found(KIND, id))
}

/// `GET` of the vaults of a subscription or a resource group.
pub(super) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    readable(
        call,
        state,
        (&Deed::Read.on(KIND), parent.as_str()),
        |after| Box::new(state.vaults_below(parent, after)),
        |vault| &vault.id,
        |vault| show(state, vault),
    )
}

/// `PUT`: makes the vault, or sets its tags.
pub(super) fn put(
    call: &Call,
    state: &State,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    let group = admit(call, state, Deed::Write, KIND, id)?;
    tracked::require_name(KIND, id.name(), 3..=24, is_vault_name)?;
    let before = state.vault(id);
    if before.is_none() && state.vault_named(id.name()).is_some() {
        return Err(ArmError::VaultAlreadyExists(id.name().to_owned()));
    }
    check_properties(state, id, content.properties())?;
    let location = tracked::location(content, KIND, id, before.map(|own| own.location.as_str()))?;
    let vault = Vault {
        id: match before {
            Some(own) => own.id.clone(),
            None => tracked::new_id(&group, KIND, id)?,
        },
        location,
        tags: content.tags().cloned().unwrap_or_default(),
    };
    let reply = Reply::put(before, show(state, &vault));
    Ok((vec![Change::Put(Record::Vault(vault))], reply))
}

/// `PATCH`: sets its tags.
pub(super) fn patch(
    call: &Call,
    state: &State,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Deed::Write, KIND, id)?;
    let mut vault = Vault::clone(&*existing(state, id)?);
    check_properties(state, id, content.properties())?;
    if let Some(tags) = content.tags() {
        vault.tags = tags.clone();
    }
    let reply = Reply::ok(show(state, &vault));
    Ok((vec![Change::Put(Record::Vault(vault))], reply))
}

/// `DELETE`: the vault and its secrets; it cannot be recovered.
pub(super) fn delete(
    call: &Call,
    state: &State,
    id: &ArmId,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Deed::Delete, KIND, id)?;
    Ok(match state.vault(id) {
        Some(vault) => (tracked::removal(state, KIND, &vault.id), Reply::empty(StatusCode::OK)),
        None => (Vec::new(), Reply::empty(StatusCode::NO_CONTENT)),
    })
}

/// Refuses what would make another vault than is served here: of another tenant, or one with access
/// policies. Role assignments alone decide here, so to take policies in silence would promise too much.
fn check_properties(
    state: &State,
    id: &ArmId,
    properties: &Map<String, Value>,
) -> Result<(), ArmError> {
    let tenant = state.tenant_of(id).map(|tenant| tenant.id.to_string()).unwrap_or_default();
    let given = property(properties, "tenantId").and_then(Value::as_str);
    if given.is_some_and(|given| !given.eq_ignore_ascii_case(&tenant)) {
        return Err(ArmError::BadRequest(format!(
            "The tenant ID of the vault must be '{tenant}', the tenant of its subscription."
        )));
    }
    let policies = property(properties, "accessPolicies").and_then(Value::as_array);
    let by_policy = property(properties, "enableRbacAuthorization") == Some(&Value::Bool(false));
    if by_policy || policies.is_some_and(|policies| !policies.is_empty()) {
        return Err(ArmError::BadRequest(
            "Access policies are not served here; set 'enableRbacAuthorization' to true and assign roles."
                .to_owned(),
        ));
    }
    Ok(())
}

fn show(state: &State, vault: &Vault) -> Value {
    let tenant = state.tenant_of(&vault.id).map(|tenant| tenant.id.to_string());
    json!({
        "id": vault.id.as_str(),
        "name": vault.id.name(),
        "type": KIND.resource_type().full_name(),
        "location": vault.location,
        "tags": vault.tags,
        "properties": {
            "sku": {"family": "A", "name": "standard"},
            "tenantId": tenant,
            "accessPolicies": [],
            "enabledForDeployment": false,
            "enableSoftDelete": true,
            "softDeleteRetentionInDays": 90,
            "enableRbacAuthorization": true,
            "vaultUri": format!("https://{}.vault.azure.net/", vault.id.name()),
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Enabled",
        },
    })
}
