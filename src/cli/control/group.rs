//! `mintbench group`: resource groups.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::args::{Connection, SubscriptionArg, Traits};
use super::client::{ControlError, Session, text};
use super::render::Output;
use super::resource::{GROUP_API, removed, shown_tags, tags};

/// Resource groups.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) subscription: SubscriptionArg,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a group
    Create {
        /// Name of the group
        name: String,
        #[command(flatten)]
        traits: Traits,
    },
    /// List the groups
    List,
    /// Remove a group and everything in it
    Remove {
        /// Name of the group
        name: String,
    },
    /// Show a group
    Show {
        /// Name of the group
        name: String,
    },
}

/// Default region of a group, also in a world file.
const LOCATION: &str = "local";

impl GroupArgs {
    pub(super) fn run(&self, session: &Session) -> Result<Output, ControlError> {
        let target = |name: &str| {
            Ok::<_, ControlError>(format!("{}?api-version={GROUP_API}", session.group_path(name)?))
        };
        match &self.verb {
            Verb::Create { name, traits } => {
                let location = traits.location.as_deref().unwrap_or(LOCATION);
                let body = json!({ "location": location, "tags": tags(&traits.tag) });
                session.arm(&Method::PUT, &target(name)?, Some(&body)).map(|made| record(made.body))
            }
            Verb::List => {
                let subscription = session.subscription()?;
                let path = format!("/subscriptions/{subscription}/resourceGroups");
                let all = session.list(&format!("{path}?api-version={GROUP_API}"))?;
                Ok(Output::rows(all, ["NAME", "LOCATION", "TAGS"], |group| {
                    let [name, location] =
                        ["/name", "/location"].map(|key| text(group, key).to_owned());
                    [name, location, shown_tags(group)]
                }))
            }
            Verb::Remove { name } => {
                session.arm(&Method::DELETE, &target(name)?, None)?;
                Ok(removed("group", &session.group_path(name)?))
            }
            Verb::Show { name } => session.get(&target(name)?).map(record),
        }
    }
}

fn record(group: Value) -> Output {
    let fields = vec![
        ("name", text(&group, "/name").to_owned()),
        ("id", text(&group, "/id").to_owned()),
        ("location", text(&group, "/location").to_owned()),
        ("tags", shown_tags(&group)),
    ];
    Output::record(group, fields)
}
