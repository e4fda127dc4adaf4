//! The commands for people: clients of the management API and of the vaults of a running server.
//!
//! One file for each noun. A command finds the server through the folder of `serve --data` and signs in as
//! its operator. Like any other client, it uses only the network, and knows nothing else about the server.

mod args;
mod client;
mod group;
mod identity;
mod render;
mod resource;
mod role;
mod secret;
mod token;
mod vault;
mod vm;

use clap::Subcommand;

use self::args::{Connection, SubscriptionArg};
use self::client::{ControlError, Session};
use self::render::Output;
use super::exit::{Exit, print_error};
use super::terminal::say;

/// Commands of the management API, the vaults and the identity endpoint.
#[derive(Debug, Subcommand)]
pub(super) enum Control {
    /// Manage resource groups
    Group(group::GroupArgs),
    /// Manage user-assigned identities
    Identity(identity::IdentityArgs),
    /// Assign roles to principals at scopes
    Role(role::RoleArgs),
    /// Manage secrets in vaults
    Secret(secret::SecretArgs),
    /// Request a token from the identity endpoint, as a virtual machine does
    Token(token::TokenArgs),
    /// Manage vaults
    Vault(vault::VaultArgs),
    /// Manage virtual machines and their identities
    Vm(vm::VmArgs),
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
pub(super) fn main(control: &Control) -> Exit {
    let printed = control.run().and_then(|output| {
        let json = control.connection().json;
        let printed = if json { output.print_json() } else { output.print() };
        Ok(printed?)
    });
    match printed {
        Ok(()) => Exit::Pass,
        Err(error) => {
            print_error(&error);
            if let Some(remedy) = error.remedy() {
                say(format_args!("fix: {remedy}"));
            }
            error.exit()
        }
    }
}

#[cfg(test)]
mod tests;
