//! `mintbench run`: drives a token endpoint with open-loop load and says what its latency is.

use clap::Args;

use super::Exit;

/// Measure a token endpoint with open-loop load.
#[derive(Debug, Args)]
pub struct RunArgs {}

/// Runs the command.
pub fn main(_args: &RunArgs) -> Exit {
    Exit::Usage
}
