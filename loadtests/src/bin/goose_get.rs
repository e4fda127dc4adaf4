//! Goose as a plain load generator: every user repeats a GET of the path of `--host`.
//!
//! `benches/truth/run.sh` and `benches/generator/run.sh` use it to compare load generators against
//! a server with known delays. It takes goose's own flags (`--users`, `--throttle-requests`, ...)
//! and prints goose's measurements in microseconds, as one line of JSON.

use std::io::Write as _;
use std::process::ExitCode;

use goose::metrics::GooseRequestMetricTimingData;
use goose::prelude::*;
use serde_json::{Value, json};

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

async fn play() -> Result<(), Box<dyn std::error::Error>> {
    let attack = GooseAttack::initialize()?
        .set_default(GooseDefault::NoTelnet, true)?
        .set_default(GooseDefault::NoPrintMetrics, true)?
        .register_scenario(scenario!("get").register_transaction(transaction!(get)));
    let metrics = Box::pin(attack.execute()).await?;
    let measured = metrics.requests.values().next().ok_or("goose has made no request")?;
    let mut line = percentiles(&measured.raw_data);
    // Only present if `--co-mitigation` asked for it and there was something to add.
    if let (Some(line), Some(added)) = (line.as_object_mut(), &measured.coordinated_omission_data) {
        line.insert("mitigated".to_owned(), percentiles(added));
    }
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

async fn get(user: &mut GooseUser) -> TransactionResult {
    let response = user.get("").await?.response?;
    // A connection with an unread body could not be used again.
    let _ = response.bytes().await?;
    Ok(())
}

fn percentiles(data: &GooseRequestMetricTimingData) -> Value {
    json!({
        "requests": data.counter,
        "p50": data.percentile_us(0.5), "p90": data.percentile_us(0.9),
        "p99": data.percentile_us(0.99), "p999": data.percentile_us(0.999),
        "max": data.maximum_time_us,
    })
}
