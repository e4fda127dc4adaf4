//! `mintbench serve`: starts every endpoint and prints where each one listens.

use clap::Args;

use super::Exit;

/// Serve managed identities on this machine.
#[derive(Debug, Args)]
pub struct ServeArgs {}

/// Runs the command.
pub fn main(_args: &ServeArgs) -> Exit {
    Exit::Usage
}
