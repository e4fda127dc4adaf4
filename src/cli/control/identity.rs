//! `mintbench identity`: user-assigned identities.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::args::{Connection, GroupArg, SubscriptionArg, Traits};
use super::client::{ControlError, Session, text};
use super::render::Output;
use super::resource::{IDENTITY, group_in, shown_tags};

/// User-assigned identities.
#[derive(Debug, Args)]
pub(crate) struct IdentityArgs {
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
    /// Create an identity; an existing one keeps its ids
    Create {
        /// Name of the identity
        name: String,
        #[command(flatten)]
        traits: Traits,
    },
    /// List the identities
    List,
    /// Remove an identity; it gets no more tokens
    Remove {
        /// Name or resource id of the identity
        name: String,
    },
    /// Show an identity
    Show {
        /// Name or resource id of the identity
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
