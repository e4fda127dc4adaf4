//! User journeys against a running broker: correctness and an error budget, never latency.
//!
//! See `loadtests/README.md` for the flags, the variables and the reason for "never".

mod ask;
mod journeys;

use std::process::ExitCode;

use goose::prelude::*;

#[tokio::main]
async fn main() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Goose judges the error budget itself: a broken one makes `execute` fail.
async fn play() -> Result<(), Box<dyn std::error::Error>> {
    // A mistake here would fail every user's start, which is no request and breaks no budget.
    journeys::vms()?;
    let attack = defaults(GooseAttack::initialize()?)?
        .register_scenario(journeys::boot::scenario()?)
        .register_scenario(journeys::steady::scenario()?);
    Box::pin(attack.execute()).await?;
    Ok(())
}

/// What the plain command does; each of these is one of goose's own flags.
fn defaults(attack: GooseAttack) -> Result<Box<GooseAttack>, GooseError> {
    attack
        .set_default(GooseDefault::Users, 8)?
        .set_default(GooseDefault::IncreaseRate, "4")?
        .set_default(GooseDefault::RunTime, 16)?
        .set_default(GooseDefault::Threshold, "error-rate<=0")?
        // The cold start is part of what is judged, so nothing is forgotten once all users run.
        .set_default(GooseDefault::NoResetMetrics, true)?
        // A run needs no remote control, which would listen on a fixed port.
        .set_default(GooseDefault::NoTelnet, true)
}
