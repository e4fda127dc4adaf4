//! `mintbench run`: measures the latency of a token endpoint under open-loop load.

mod args;
mod attempts;
mod error;
mod files;
mod find_max;
mod finished;
mod first_argument;
mod live;
mod prepared;
mod requests;
mod result_paths;
mod spec;

use std::sync::Arc;

pub(super) use self::args::RunArgs;
use self::error::RunError;
use self::prepared::Prepared;
use super::exit::{Exit, refuse};
use super::signals;
use super::terminal::print;
use crate::base::clock::SystemClock;
use crate::harness::machine::stop::Stop;
use crate::harness::scenario::spec::{Scenario, ScenarioError};

/// Runs the command.
pub(super) fn main(args: &RunArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    let result = match &args.print_scenario {
        Some(scenario) => print_scenario(scenario),
        None => run(args, &stop),
    };
    match result {
        Err(error) if stop.is_requested() => error.interrupted(),
        Ok(_) if stop.is_requested() => Exit::Interrupted,
        Err(error) if error.blames_target() => {
            refuse(&error);
            Exit::Failed
        }
        Err(error) => refuse(&error),
        Ok(exit) => exit,
    }
}

fn print_scenario(scenario: &Scenario) -> Result<Exit, RunError> {
    let text = scenario.source().map_err(ScenarioError::from)?;
    print(&text)?;
    Ok(Exit::Pass)
}

fn run(args: &RunArgs, stop: &Arc<Stop>) -> Result<Exit, RunError> {
    // Until this returns, a signal ends the process at once. It may wait for a pipe, and leaves nothing behind.
    let prepared = Prepared::of(args)?;
    signals::listen(Arc::clone(stop));
    if args.search.find_max {
        find_max::run(&prepared, &SystemClock, stop)
    } else {
        attempts::run(&prepared, &SystemClock, stop)
    }
}

#[cfg(test)]
mod tests;
