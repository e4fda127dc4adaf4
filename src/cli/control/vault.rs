//! `mintbench vault`: vaults as resources. `mintbench secret` handles their contents.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::args::{Connection, GroupArg, SubscriptionArg, Traits};
use super::client::{ControlError, Session, text};
use super::render::Output;
use super::resource::{VAULT, group_in, purged, shown_tags};

/// Vaults.
#[derive(Debug, Args)]
pub(crate) struct VaultArgs {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) subscription: SubscriptionArg,
    #[command(flatten)]
    group: GroupArg,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a vault; role assignments control access to its secrets
    Create {
        /// Name of the vault: 3 to 24 letters, digits and hyphens
        name: String,
        #[command(flatten)]
        traits: Traits,
        #[command(flatten)]
        protection: Protection,
    },
    /// List the vaults
    List {
        /// List the removed vaults, which can be recovered or purged
        #[arg(long)]
        removed: bool,
    },
    /// Purge a removed vault and its secrets, which cannot be recovered afterwards
    Purge {
        /// Name of the vault
        name: String,
    },
    /// Recover a removed vault and its secrets, without its role assignments
    Recover {
        /// Name of the vault
        name: String,
    },
    /// Remove a vault; `recover` restores it until it is purged
    Remove {
        /// Name or resource id of the vault
        name: String,
    },
    /// Show a vault
    Show {
        /// Name or resource id of the vault
        name: String,
    },
}

/// Settings of a new vault.
#[derive(Debug, Args)]
struct Protection {
    /// Days after a removal during which the vault and its secrets can be recovered: 7 to 90 [default: 90]
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u64>,
    /// Prevent a purge before the retention days are over; cannot be turned off
    #[arg(long)]
    purge_protection: bool,
}

impl VaultArgs {
    pub(super) fn run(&self, session: &Session) -> Result<Output, ControlError> {
        let group = self.group.group.as_deref();
        match &self.verb {
            Verb::Create { name, traits, protection } => {
                let properties = json!({
                    "tenantId": session.operator.ids.tenant_id,
                    "sku": { "family": "A", "name": "standard" },
                    "enableRbacAuthorization": true,
                    "accessPolicies": [],
                    "softDeleteRetentionInDays": protection.retention_days,
                    "enablePurgeProtection": protection.purge_protection.then_some(true),
                });
                let body = Map::from_iter([("properties".to_owned(), properties)]);
                session.put(&VAULT, name, group, traits, body).map(record)
            }
            Verb::List { removed: false } => session.all(&VAULT, group).map(list),
            Verb::List { removed: true } => removed_vaults(session).map(removed_list),
            Verb::Purge { name } => {
                let id = removed_vault(session, name)?;
                let target = VAULT.target(&format!("{}/purge", text(&id, "/id")));
                session.arm(&Method::POST, &target, None)?;
                Ok(purged("vault", name))
            }
            Verb::Recover { name } => recover(session, name).map(record),
            Verb::Remove { name } => session.remove(&VAULT, name, group),
            Verb::Show { name } => session.find(&VAULT, name, group).map(record),
        }
    }
}

/// Returns the removed vaults that can be recovered.
fn removed_vaults(session: &Session) -> Result<Vec<Value>, ControlError> {
    let subscription = session.subscription()?;
    let path = format!("/subscriptions/{subscription}/providers/Microsoft.KeyVault/deletedVaults");
    session.list(&VAULT.target(&path))
}

fn removed_vault(session: &Session, name: &str) -> Result<Value, ControlError> {
    let mut all = removed_vaults(session)?;
    all.retain(|one| text(one, "/name").eq_ignore_ascii_case(name));
    let remedy = "`mintbench vault list --removed` shows those that were removed".to_owned();
    let (noun, name) = ("removed vault", name.to_owned());
    all.pop().ok_or(ControlError::NotFound { noun, name, place: "", remedy })
}

fn recover(session: &Session, name: &str) -> Result<Value, ControlError> {
    let found = removed_vault(session, name)?;
    let body = json!({
        "location": text(&found, "/properties/location"),
        "properties": {
            "tenantId": session.operator.ids.tenant_id,
            "createMode": "recover",
        },
    });
    let target = VAULT.target(text(&found, "/properties/vaultId"));
    Ok(session.arm(&Method::PUT, &target, Some(&body))?.body)
}

fn list(all: Vec<Value>) -> Output {
    Output::rows(all, ["NAME", "GROUP", "LOCATION", "URL"], |one| {
        let field = |pointer| text(one, pointer).to_owned();
        let group = group_in(text(one, "/id"));
        [field("/name"), group, field("/location"), field("/properties/vaultUri")]
    })
}

fn removed_list(all: Vec<Value>) -> Output {
    Output::rows(all, ["NAME", "GROUP", "REMOVED", "PURGED ON"], |one| {
        let field = |pointer| text(one, pointer).to_owned();
        let group = group_in(text(one, "/properties/vaultId"));
        let purged_on = field("/properties/scheduledPurgeDate");
        [field("/name"), group, field("/properties/deletionDate"), purged_on]
    })
}

fn record(vault: Value) -> Output {
    let field = |pointer| text(&vault, pointer).to_owned();
    let setting = |name: &str| {
        let value = vault.pointer(&format!("/properties/{name}"));
        value.map(Value::to_string).unwrap_or_default()
    };
    let fields = vec![
        ("name", field("/name")),
        ("id", field("/id")),
        ("location", field("/location")),
        ("url", field("/properties/vaultUri")),
        ("tenant id", field("/properties/tenantId")),
        ("retention days", setting("softDeleteRetentionInDays")),
        ("purge protection", setting("enablePurgeProtection")),
        ("tags", shown_tags(&vault)),
    ];
    Output::record(vault, fields)
}
