//! Arguments that several of the commands take.

use std::path::{Path, PathBuf};

use clap::Args;

use super::client::{ControlError, DataFolder};
use crate::base::ids::SubscriptionId;
use crate::base::secret::SecretText;
use crate::cli::running::{USUAL, newest};
use crate::cli::secret_files::SecretFiles;

/// Arguments of every command.
#[derive(Clone, Debug, Args)]
pub(super) struct Connection {
    /// Data folder of the server: the value of `mintbench serve --data` [default: mintbench-data if it is there, else that of your newest server]
    #[arg(long, global = true, value_name = "DIR", env = "MINTBENCH_DATA")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) secret_files: SecretFiles,
    /// Access token for the requests, as `mintbench token --bare` prints it [default: a token of the operator]
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "MINTBENCH_ACCESS_TOKEN",
        hide_env_values = true
    )]
    pub(super) access_token: Option<SecretText>,
    /// Print the JSON of the server instead of a table
    #[arg(long, global = true, env = "MINTBENCH_JSON")]
    pub(super) json: bool,
}

impl Connection {
    /// Opens the named folder, or the usual one. Without it, opens that of the user's newest server.
    pub(super) fn folder(&self) -> Result<DataFolder, ControlError> {
        let group = self.secret_files.group();
        let newest = || newest(group).filter(|_| !Path::new(USUAL).exists());
        let folder = self.data.clone().or_else(newest);
        DataFolder::open(folder.as_deref().unwrap_or(Path::new(USUAL)), group)
    }
}

/// Argument that names a subscription.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SubscriptionArg {
    /// Subscription [default: the only one]
    #[arg(long, global = true, value_name = "ID", env = "MINTBENCH_SUBSCRIPTION")]
    pub(super) subscription: Option<SubscriptionId>,
}

/// Argument that names a resource group.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct GroupArg {
    /// Resource group; required for `create`, a filter for other commands
    #[arg(long, short, global = true, value_name = "NAME", env = "MINTBENCH_GROUP")]
    pub(super) group: Option<String>,
}

/// Arguments that describe a new resource.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Traits {
    /// Region [default: that of its resource group]
    #[arg(long, short, value_name = "REGION")]
    pub(super) location: Option<String>,
    /// Tag; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub(super) tag: Vec<(String, String)>,
}

pub(super) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
