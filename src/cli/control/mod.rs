//! The commands for people: clients of the management API and of the vaults of a running server.
//!
//! One file for each noun. A command finds the server through the folder of `serve --data` and signs in as
//! its operator. Like any other client, it uses only the network, and knows nothing else about the server.

mod data;
mod error;
mod group;
mod identity;
mod operator;
mod refusal;
mod render;
mod resource;
mod role;
mod secret;
mod session;
mod token;
mod vault;
mod vm;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::data::DataFolder;
use self::error::ControlError;
use self::render::Output;
use self::session::Session;
use super::secret_files::SecretFiles;
use super::{Exit, complain};
use crate::base::ids::SubscriptionId;
use crate::base::secret::SecretText;
use crate::cli::terminal::say;

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Control {
    /// Resource groups
    Group(group::GroupArgs),
    /// User-assigned identities
    Identity(identity::IdentityArgs),
    /// Role assignments: who may do what, and where
    Role(role::RoleArgs),
    /// Secrets in vaults
    Secret(secret::SecretArgs),
    /// Ask the identity endpoint for a token, as a virtual machine does
    Token(token::TokenArgs),
    /// Vaults
    Vault(vault::VaultArgs),
    /// Virtual machines and the identities that they hold
    Vm(vm::VmArgs),
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// Folder of the server to talk to, as given to `mintbench serve --data`
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "mintbench-data",
        env = "MINTBENCH_DATA"
    )]
    data: PathBuf,
    #[command(flatten)]
    secret_files: SecretFiles,
    /// Ask with this token instead of the operator's, as `mintbench token --bare` prints one
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "MINTBENCH_ACCESS_TOKEN",
        hide_env_values = true
    )]
    access_token: Option<SecretText>,
    /// Print JSON, as the server answers it, instead of a table
    #[arg(long, global = true, env = "MINTBENCH_JSON")]
    json: bool,
}

impl Connection {
    fn folder(&self) -> Result<DataFolder, ControlError> {
        DataFolder::open(&self.data, self.secret_files.group())
    }
}

/// Which subscription is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct SubscriptionArg {
    /// Subscription [default: the only one]
    #[arg(long, global = true, value_name = "ID", env = "MINTBENCH_SUBSCRIPTION")]
    subscription: Option<SubscriptionId>,
}

/// Which resource group is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct GroupArg {
    /// Resource group; needed to create, otherwise narrows the search
    #[arg(long, short, global = true, value_name = "NAME", env = "MINTBENCH_GROUP")]
    group: Option<String>,
}

/// What is said of a resource when it is made.
#[derive(Clone, Debug, Default, Args)]
pub struct Traits {
    /// Region [default: that of its resource group]
    #[arg(long, short, value_name = "REGION")]
    location: Option<String>,
    /// Tag; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    tag: Vec<(String, String)>,
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

impl Control {
    const fn connection(&self) -> &Connection {
        match self {
            Self::Group(args) => &args.connection,
            Self::Identity(args) => &args.connection,
            Self::Role(args) => &args.connection,
            Self::Secret(args) => &args.connection,
            Self::Token(args) => &args.connection,
            Self::Vault(args) => &args.connection,
            Self::Vm(args) => &args.connection,
        }
    }

    fn run(&self) -> Result<Output, ControlError> {
        let open = |subscription: &SubscriptionArg| {
            let connection = self.connection();
            let session = Session::open(&connection.folder()?, subscription.subscription)?;
            session.with_access_token(connection.access_token.as_ref())
        };
        match self {
            Self::Group(args) => args.run(&open(&args.subscription)?),
            Self::Identity(args) => args.run(&open(&args.subscription)?),
            Self::Role(args) => args.run(&open(&args.subscription)?),
            Self::Secret(args) => args.run(&open(&SubscriptionArg::default())?),
            Self::Token(args) => args.run(),
            Self::Vault(args) => args.run(&open(&args.subscription)?),
            Self::Vm(args) => args.run(&open(&args.subscription)?),
        }
    }
}

/// Runs the command. The result goes to standard output, an error and its remedy to standard error.
pub fn main(control: &Control) -> Exit {
    match control.run() {
        Ok(output) => {
            if control.connection().json {
                output.print_json();
            } else {
                output.print();
            }
            Exit::Pass
        }
        Err(error) => {
            complain(&error);
            if let Some(remedy) = error.remedy() {
                say(format_args!("fix: {remedy}"));
            }
            error.exit()
        }
    }
}

#[cfg(test)]
mod tests;
