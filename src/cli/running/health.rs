//! `mintbench health`: the check of a container or a service manager.

use std::time::Duration;

use clap::Args;

use super::{RunningArgs, RunningError, limits};
use crate::cli::exit::{Exit, print_error};
use crate::cli::terminal::{PrintError, print};

/// Check that a server works: exit code 0 or 1
///
/// Asks `/readyz` of the admin endpoint, which also fails while changes cannot be stored.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 the server works; 1 it does not, and the reason is printed.")]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// Longest wait for the answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration, env = "MINTBENCH_HEALTH_TIMEOUT")]
    timeout: Duration,
}

/// Reason why the server is not known to work.
#[derive(Debug, thiserror::Error)]
enum HealthError {
    #[error("unhealthy")]
    Running(#[from] RunningError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Runs the command.
pub(crate) fn main(args: &HealthArgs) -> Exit {
    match check(args) {
        Ok(()) => Exit::Pass,
        Err(error) => {
            print_error(&error);
            Exit::Failed
        }
    }
}

fn check(args: &HealthArgs) -> Result<(), HealthError> {
    let running = args.running.find(args.timeout)?;
    running.get("/readyz", limits(args.timeout))?.accepted()?;
    print(&format!("healthy: {} is ready\n", running.url("admin")))?;
    Ok(())
}
