//! Key vaults as resources (Microsoft.KeyVault). The `vault` surface serves their contents.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::vault_settings::{self, Wanted};
use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::readable;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::content::Content;
use crate::service::arm::request::route::Kind;
use crate::service::arm::tracked::{self, Verb, admit, not_found};
use crate::service::directory::State;
use crate::service::world::is_vault_name;
use crate::service::world::record::{Change, DeletedVault, Record, Vault};
use crate::service::world::vault::vault_address;

const KIND: Kind = Kind::Vault;

/// `GET` of a vault.
pub(crate) fn get(call: &Call, state: &State, id: &ArmId) -> Result<Reply, ArmError> {
    admit(call, state, Verb::Read, KIND, id)?;
    Ok(Reply::ok(show(call, state, &*existing(state, id)?)))
}

fn existing(state: &State, id: &ArmId) -> Result<Arc<Vault>, ArmError> {
    state.vault(id).cloned().ok_or_else(|| not_found(KIND, id))
}

/// `GET` of the vaults of a subscription or a resource group.
pub(crate) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    readable(
        call,
        state,
        (&Verb::Read.on(KIND), parent.as_str()),
        |after| Box::new(state.vaults_below(parent, after)),
        |vault| &vault.id,
        |vault| show(call, state, vault),
    )
}

/// `PUT`: creates the vault, sets its properties, or recovers it.
pub(crate) fn put(
    call: &Call,
    state: &State,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    let group = admit(call, state, Verb::Write, KIND, id)?;
    tracked::require_name(KIND, id.name(), 3..=24, is_vault_name)?;
    let wanted = wanted(state, id, content)?;
    if let Some(before) = state.vault(id) {
        return replace(call, state, before, content, &wanted);
    }
    let deleted = state.deleted_vault_named(id.name());
    let recoverable = deleted.filter(|held| call.now < held.scheduled_purge);
    match (recoverable, wanted.recover) {
        (Some(held), true) if held.vault.id == *id => {
            return recover(call, state, held, content, &wanted);
        }
        (Some(_), _) => return Err(ArmError::VaultIsDeleted),
        (None, true) => return Err(ArmError::DeletedVaultNotFound(id.name().to_owned())),
        (None, false) => {}
    }
    if state.vault_named(id.name()).is_some() {
        return Err(ArmError::VaultAlreadyExists(id.name().to_owned()));
    }
    if state.vault_address_taken(id.name()) {
        return Err(ArmError::Conflict(format!(
            "The loopback address that follows from the vault name '{}' is that of another vault; choose another name.",
            id.name()
        )));
    }
    let vault = Vault {
        id: tracked::new_id(&group, KIND, id)?,
        location: tracked::location(content, KIND, id, None)?,
        tags: content.tags().cloned().unwrap_or_default(),
        settings: wanted.replace(None)?,
    };
    let reply = Reply::json(StatusCode::CREATED, show(call, state, &vault));
    let mut changes = deleted.map(|overdue| state.vault_purge(overdue)).unwrap_or_default();
    changes.push(Change::Put(Record::Vault(vault)));
    Ok((changes, reply))
}

fn wanted(state: &State, id: &ArmId, content: &Content) -> Result<Wanted, ArmError> {
    let tenant = state.tenant_of(id).map(|tenant| tenant.id.to_string()).unwrap_or_default();
    Wanted::read(content, &tenant)
}

fn replace(
    call: &Call,
    state: &State,
    before: &Vault,
    content: &Content,
    wanted: &Wanted,
) -> Result<(Vec<Change>, Reply), ArmError> {
    let vault = Vault {
        id: before.id.clone(),
        location: tracked::location(content, KIND, &before.id, Some(&before.location))?,
        tags: content.tags().cloned().unwrap_or_default(),
        settings: wanted.replace(Some(&before.settings))?,
    };
    let reply = Reply::ok(show(call, state, &vault));
    Ok((vec![Change::Put(Record::Vault(vault))], reply))
}

/// Recovers a deleted vault with its secrets and its old settings, except those in the request. Its role
/// assignments do not come back, as in Azure.
fn recover(
    call: &Call,
    state: &State,
    deleted: &DeletedVault,
    content: &Content,
    wanted: &Wanted,
) -> Result<(Vec<Change>, Reply), ArmError> {
    let vault = merged(&deleted.vault, content, wanted)?;
    let reply = Reply::ok(show(call, state, &vault));
    Ok((State::vault_recovery(vault), reply))
}

/// `PATCH`: sets the given properties of the vault.
pub(crate) fn patch(
    call: &Call,
    state: &State,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Verb::Write, KIND, id)?;
    let before = existing(state, id)?;
    let vault = merged(&before, content, &wanted(state, id, content)?)?;
    let reply = Reply::ok(show(call, state, &vault));
    Ok((vec![Change::Put(Record::Vault(vault))], reply))
}

fn merged(before: &Vault, content: &Content, wanted: &Wanted) -> Result<Vault, ArmError> {
    Ok(Vault {
        id: before.id.clone(),
        location: tracked::location(content, KIND, &before.id, Some(&before.location))?,
        tags: content.tags().unwrap_or(&before.tags).clone(),
        settings: wanted.merge(&before.settings)?,
    })
}

/// `DELETE`: deletes the vault. It can be recovered with its secrets until it is purged.
pub(crate) fn delete(
    call: &Call,
    state: &State,
    id: &ArmId,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Verb::Delete, KIND, id)?;
    Ok(match state.vault(id) {
        Some(vault) => {
            let changes = tracked::removal(call, state, KIND, &vault.id);
            (changes, Reply::empty(StatusCode::OK))
        }
        None => (Vec::new(), Reply::empty(StatusCode::NO_CONTENT)),
    })
}

fn show(call: &Call, state: &State, vault: &Vault) -> Value {
    let name = vault.id.name();
    // A vault that is being created or recovered gets its address if no other vault has it.
    let address = vault_address(name);
    let at_address = state.vault_at(address.into());
    let address = at_address.is_none_or(|held| held.id == vault.id).then_some(address);
    let mut properties = vault_settings::show(&vault.settings);
    for (name, value) in [
        ("tenantId", json!(state.tenant_of(&vault.id).map(|tenant| tenant.id.to_string()))),
        ("accessPolicies", json!([])),
        ("enableSoftDelete", true.into()),
        ("enableRbacAuthorization", true.into()),
        ("vaultUri", call.vault_uris.of(name, address).into()),
        ("provisioningState", "Succeeded".into()),
        ("publicNetworkAccess", "Enabled".into()),
    ] {
        properties.insert(name.to_owned(), value);
    }
    json!({
        "id": vault.id.as_str(),
        "name": name,
        "type": KIND.resource_type().full_name(),
        "location": vault.location,
        "tags": vault.tags,
        "properties": properties,
    })
}
