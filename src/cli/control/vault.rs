//! `mintbench vault`: vaults as resources; what is in them is `mintbench secret`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::error::ControlError;
use super::render::Output;
use super::resource::{VAULT, group_in, shown_tags, text};
use super::session::Session;
use super::{Connection, GroupArg, SubscriptionArg, Traits};

/// Vaults.
#[derive(Debug, Args)]
pub struct VaultArgs {
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
    /// Make a vault, whose secrets are guarded by role assignments
    Create {
        /// What to call it: 3 to 24 letters, digits and hyphens
        name: String,
        #[command(flatten)]
        traits: Traits,
    },
    /// List the vaults
    List,
    /// Remove a vault
    Remove {
        /// Its name or resource id
        name: String,
    },
    /// Show a vault
    Show {
        /// Its name or resource id
        name: String,
    },
}

impl VaultArgs {
    pub(super) fn run(&self, session: &Session) -> Result<Output, ControlError> {
        let group = self.group.group.as_deref();
        match &self.verb {
            Verb::Create { name, traits } => {
                let properties = json!({
                    "tenantId": session.operator.ids.tenant_id,
                    "sku": { "family": "A", "name": "standard" },
                    "enableRbacAuthorization": true,
                    "accessPolicies": [],
                });
                let body = Map::from_iter([("properties".to_owned(), properties)]);
                record(session, session.put(&VAULT, name, group, traits, body)?)
            }
            Verb::List => list(session, session.all(&VAULT, group)?),
            Verb::Remove { name } => session.remove(&VAULT, name, group),
            Verb::Show { name } => record(session, session.find(&VAULT, name, group)?),
        }
    }
}

/// The URL is the one that answers here; in JSON it is Azure's, by which it is known to other tools.
fn list(session: &Session, all: Vec<Value>) -> Result<Output, ControlError> {
    let urls = all.iter().map(|vault| session.vault_url(text(vault, "/name")));
    let urls: Vec<String> = urls.collect::<Result<_, _>>()?;
    let mut urls = urls.into_iter();
    Ok(Output::rows(all, ["NAME", "GROUP", "LOCATION", "URL"], |one| {
        let field = |pointer| text(one, pointer).to_owned();
        let group = group_in(text(one, "/id"));
        [field("/name"), group, field("/location"), urls.next().unwrap_or_default()]
    }))
}

fn record(session: &Session, vault: Value) -> Result<Output, ControlError> {
    let field = |pointer| text(&vault, pointer).to_owned();
    let fields = vec![
        ("name", field("/name")),
        ("id", field("/id")),
        ("location", field("/location")),
        ("url", session.vault_url(text(&vault, "/name"))?),
        ("tenant id", field("/properties/tenantId")),
        ("tags", shown_tags(&vault)),
    ];
    Ok(Output::record(vault, fields))
}
