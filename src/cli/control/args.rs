//! Arguments that several of the commands take.

use std::path::PathBuf;

use clap::Args;

use super::client::{ControlError, DataFolder};
use crate::base::ids::SubscriptionId;
use crate::base::secret::SecretText;
use crate::cli::secret_files::SecretFiles;

/// Arguments of every command.
#[derive(Clone, Debug, Args)]
pub(super) struct Connection {
    /// Data folder of the server: the value of `mintbench serve --data`
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "mintbench-data",
        env = "MINTBENCH_DATA"
    )]
    pub(super) data: PathBuf,
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
    pub(super) fn folder(&self) -> Result<DataFolder, ControlError> {
        DataFolder::open(&self.data, self.secret_files.group())
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
