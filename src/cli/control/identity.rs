//! `mintbench identity`: user-assigned identities.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::error::ControlError;
use super::render::Output;
use super::resource::{IDENTITY, group_in, shown_tags, text};
use super::session::Session;
use super::{Connection, GroupArg, SubscriptionArg, Traits};

/// User-assigned identities.
#[derive(Debug, Args)]
pub struct IdentityArgs {
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
    /// Make an identity; one that exists keeps its ids
    Create {
        /// What to call it
        name: String,
        #[command(flatten)]
        traits: Traits,
    },
    /// List the identities
    List,
    /// Remove an identity: no token is issued for it any more
    Remove {
        /// Its name or resource id
        name: String,
    },
    /// Show an identity
    Show {
        /// Its name or resource id
        name: String,
    },
}

impl IdentityArgs {
    pub(super) fn run(&self, session: &Session) -> Result<Output, ControlError> {
        let group = self.group.group.as_deref();
        match &self.verb {
            Verb::Create { name, traits } => {
                session.put(&IDENTITY, name, group, traits, Map::new()).map(record)
            }
            Verb::List => Ok(list(session.all(&IDENTITY, group)?)),
            Verb::Remove { name } => session.remove(&IDENTITY, name, group),
            Verb::Show { name } => session.find(&IDENTITY, name, group).map(record),
        }
    }
}

fn list(all: Vec<Value>) -> Output {
    let header = ["NAME", "GROUP", "LOCATION", "CLIENT ID", "PRINCIPAL ID"];
    Output::rows(all, header, |one| {
        let field = |pointer| text(one, pointer).to_owned();
        [
            field("/name"),
            group_in(text(one, "/id")),
            field("/location"),
            field("/properties/clientId"),
            field("/properties/principalId"),
        ]
    })
}

fn record(identity: Value) -> Output {
    let field = |pointer| text(&identity, pointer).to_owned();
    let fields = vec![
        ("name", field("/name")),
        ("id", field("/id")),
        ("location", field("/location")),
        ("client id", field("/properties/clientId")),
        ("principal id", field("/properties/principalId")),
        ("tenant id", field("/properties/tenantId")),
        ("tags", shown_tags(&identity)),
    ];
    Output::record(identity, fields)
}
