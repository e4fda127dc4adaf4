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

/// Runs the journeys. Goose judges the error budget itself: `execute` fails if it is exceeded.
async fn play() -> Result<(), Box<dyn std::error::Error>> {
    // Checked first, because an invalid value would fail every user's start, which counts as no
    // request and so not against the budget.
    journeys::vms()?;
    let attack = defaults(GooseAttack::initialize()?)?
        .register_scenario(journeys::boot::scenario()?)
        .register_scenario(journeys::steady::scenario()?);
    Box::pin(attack.execute()).await?;
    Ok(())
}

/// Sets the defaults of the plain command. Each is one of goose's own flags.
fn defaults(attack: GooseAttack) -> Result<Box<GooseAttack>, GooseError> {
    attack
        .set_default(GooseDefault::Users, 8)?
        .set_default(GooseDefault::IncreaseRate, "4")?
        .set_default(GooseDefault::RunTime, 16)?
        .set_default(GooseDefault::Threshold, "error-rate<=0")?
        // The cold start is judged too, so metrics are kept when all users run.
        .set_default(GooseDefault::NoResetMetrics, true)?
        // A run needs no remote control, which would listen on a fixed port.
        .set_default(GooseDefault::NoTelnet, true)
}
