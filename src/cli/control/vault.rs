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
                session.put(&VAULT, name, group, traits, body).map(record)
            }
            Verb::List => Ok(list(session.all(&VAULT, group)?)),
            Verb::Remove { name } => session.remove(&VAULT, name, group),
            Verb::Show { name } => session.find(&VAULT, name, group).map(record),
        }
    }
}

fn list(all: Vec<Value>) -> Output {
    Output::rows(all, ["NAME", "GROUP", "LOCATION", "URL"], |one| {
        let field = |pointer| text(one, pointer).to_owned();
        let group = group_in(text(one, "/id"));
        [field("/name"), group, field("/location"), field("/properties/vaultUri")]
    })
}

fn record(vault: Value) -> Output {
    let field = |pointer| text(&vault, pointer).to_owned();
    let fields = vec![
        ("name", field("/name")),
        ("id", field("/id")),
        ("location", field("/location")),
        ("url", field("/properties/vaultUri")),
        ("tenant id", field("/properties/tenantId")),
        ("tags", shown_tags(&vault)),
    ];
    Output::record(vault, fields)
}
