//! Deleted key vaults (Microsoft.KeyVault, `deletedVaults`): showing and purging. `vaults` recovers them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::ids::{ArmId, SubscriptionId};
use crate::service::arm::date;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::Page;
use crate::service::arm::operations;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::route::DeletedVaultPath;
use crate::service::arm::version;
use crate::service::directory::State;
use crate::service::world::record::{Change, DeletedVault};

const LIST: &str = "Microsoft.KeyVault/deletedVaults/read";
const READ: &str = "Microsoft.KeyVault/locations/deletedVaults/read";
const PURGE: &str = "Microsoft.KeyVault/locations/deletedVaults/purge/action";

/// `GET` of the deleted vaults of a subscription.
pub(crate) fn list(
    call: &Call,
    state: &State,
    subscription: SubscriptionId,
) -> Result<Reply, ArmError> {
    call.require(state, LIST, &scope(subscription))?;
    let page = Page::of(call)?;
    let after = page.after::<ArmId>()?;
    let is_next = |held: &&Arc<DeletedVault>| {
        let id = &held.vault.id;
        is_shown(call, held, subscription) && after.as_ref().is_none_or(|after| id > after)
    };
    let found = state.deleted_vaults().filter(is_next);
    Ok(page.reply(call, found, |held| held.vault.id.to_string(), |held| show(held)))
}

/// `GET` of a deleted vault.
pub(crate) fn get(call: &Call, state: &State, path: &DeletedVaultPath) -> Result<Reply, ArmError> {
    call.require(state, READ, &scope(path.subscription))?;
    Ok(Reply::ok(show(found(call, state, path)?)))
}

/// `POST .../purge`: removes the vault and its secrets for good, unless it has purge protection.
pub(crate) fn purge(
    call: &Call,
    state: &State,
    path: &DeletedVaultPath,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, PURGE, &scope(path.subscription))?;
    let deleted = found(call, state, path)?;
    if deleted.vault.settings.purge_protection {
        return Err(ArmError::PurgeProtected(date::iso(deleted.scheduled_purge)));
    }
    let place = (&version::VAULT_OPERATIONS, path.subscription, path.location.as_str());
    Ok((state.vault_purge(deleted), operations::accepted(call, place)))
}

fn scope(subscription: SubscriptionId) -> String {
    format!("/subscriptions/{subscription}")
}

fn found<'a>(
    call: &Call,
    state: &'a State,
    path: &DeletedVaultPath,
) -> Result<&'a DeletedVault, ArmError> {
    let held = state.deleted_vault_named(&path.name).filter(|held| {
        is_shown(call, held, path.subscription)
            && held.vault.location.eq_ignore_ascii_case(&path.location)
    });
    held.ok_or_else(|| ArmError::DeletedVaultNotFound(path.name.clone()))
}

/// Returns true if the vault belongs to the subscription and is not yet due to be purged.
fn is_shown(call: &Call, held: &DeletedVault, subscription: SubscriptionId) -> bool {
    held.vault.id.subscription() == subscription && call.now < held.scheduled_purge
}

fn show(deleted: &DeletedVault) -> Value {
    let vault = &deleted.vault;
    let (location, name) = (&vault.location, vault.id.name());
    let mut shown = json!({
        "id": format!(
            "{}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}",
            scope(vault.id.subscription())
        ),
        "name": name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": vault.id.as_str(),
            "location": location,
            "tags": vault.tags,
            "deletionDate": date::iso(deleted.deleted),
            "scheduledPurgeDate": date::iso(deleted.scheduled_purge),
        },
    });
    if vault.settings.purge_protection
        && let Some(properties) = shown.pointer_mut("/properties").and_then(Value::as_object_mut)
    {
        properties.insert("purgeProtectionEnabled".to_owned(), true.into());
    }
    shown
}
