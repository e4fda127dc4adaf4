//! `mintbench compare`: two result folders side by side.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, refuse};
use crate::report::compare::{Comparison, Side};
use crate::report::html::{self, ReportError, versus};

/// Put two result folders side by side
///
/// Ratios are B divided by A. The runs were made apart from each other, so drift of the machine is
/// part of each ratio; `mintbench gate` interleaves the sides instead.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 compared; 2 a folder cannot be read; with --strict also 4 a run \
is invalid or did not end, 6 the runs are of unlike machines."
)]
pub struct CompareArgs {
    /// The two result folders, A and B
    #[arg(
        value_name = "DIR",
        num_args = 2,
        required = true,
        env = "MINTBENCH_COMPARE_DIRS",
        value_delimiter = ','
    )]
    dirs: Vec<PathBuf>,
    /// Also write the comparison as one HTML file
    #[arg(long, value_name = "FILE", env = "MINTBENCH_COMPARE_HTML")]
    html: Option<PathBuf>,
    /// Print JSON instead of the table
    #[arg(long, env = "MINTBENCH_COMPARE_JSON")]
    json: bool,
    /// Fail when a run is invalid or the machines differ, and do not only warn
    #[arg(long, env = "MINTBENCH_COMPARE_STRICT")]
    strict: bool,
}

/// Runs the command.
pub fn main(args: &CompareArgs) -> Exit {
    match compare(args) {
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

fn compare(args: &CompareArgs) -> Result<Exit, ReportError> {
    let sides = args.dirs.iter().map(|dir| Side::read(dir)).collect::<Result<Vec<_>, _>>()?;
    // The parser takes two folders and no other number of them.
    let [a, b] = sides.as_slice() else { return Ok(Exit::Usage) };
    let comparison = Comparison::new(a, b);
    if let Some(path) = &args.html {
        html::save(&versus::page(a, b, &comparison), path)?;
    }
    let text = if args.json {
        // Text, numbers and lists of them: this cannot fail.
        serde_json::to_string_pretty(&comparison).map(|text| text + "\n").unwrap_or_default()
    } else {
        comparison.text()
    };
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(if args.strict { strict(&comparison) } else { Exit::Pass })
}

/// What may not be compared for a claim.
fn strict(comparison: &Comparison) -> Exit {
    if !comparison.is_sound() {
        Exit::Invalid
    } else if comparison.same_machine {
        Exit::Pass
    } else {
        Exit::NoBaseline
    }
}
