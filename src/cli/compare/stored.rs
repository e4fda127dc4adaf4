//! `mintbench compare A B`: two result folders side by side.

use std::path::PathBuf;

use clap::Args;

use crate::base::printable::json;
use crate::cli::outputs;
use crate::cli::outputs::OutputError;
use crate::cli::terminal::Stream;
use crate::cli::{Exit, refuse};
use crate::harness::document::compare::Comparison;
use crate::harness::report::compare::Side;
use crate::harness::report::html;
use crate::harness::report::html::{ReportError, versus};

/// The form that reads results, and what belongs to it alone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Two stored results")]
pub(super) struct FolderArgs {
    /// Two result folders, A and B, instead of endpoints: nothing is measured
    #[arg(
        value_name = "DIR",
        num_args = 2,
        value_delimiter = ',',
        env = "MINTBENCH_COMPARE_DIRS",
        conflicts_with_all = ["target", "pairs", "block", "warmup", "rate", "arrivals", "connections", "threads", "seed", "timeout", "max_errors"]
    )]
    pub(super) dirs: Vec<PathBuf>,
    /// Also write the comparison of the folders as one HTML file
    #[arg(long, value_name = "FILE", requires = "dirs", env = "MINTBENCH_COMPARE_HTML")]
    html: Option<PathBuf>,
    /// Fail when one of the folders is of an invalid run or the machines differ, and do not only warn
    #[arg(long, requires = "dirs", env = "MINTBENCH_COMPARE_STRICT")]
    strict: bool,
}

/// Output form of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, for a script.
    Json,
    /// Text, for a person.
    Text,
}

/// Compares two result folders.
pub(super) fn main(args: &FolderArgs, form: Form) -> Exit {
    match compare(args, form) {
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

/// Reasons why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

fn compare(args: &FolderArgs, form: Form) -> Result<Exit, CompareError> {
    outputs::check(&[("html", args.html.as_deref())])?;
    let sides = args.dirs.iter().map(|dir| Side::read(dir)).collect::<Result<Vec<_>, _>>();
    let sides = sides.map_err(ReportError::from)?;
    // The caller has checked that there are two.
    let [a, b] = sides.as_slice() else { return Ok(Exit::Usage) };
    let comparison = Comparison::new(a, b);
    if let Some(path) = &args.html {
        html::write_to(path, &versus::page(a, b, &comparison))?;
    }
    let text = match form {
        Form::Text => comparison.text(),
        // Texts, numbers and lists of them can always be serialised.
        Form::Json => json(&comparison).unwrap_or_default(),
    };
    let _ = Stream::Output.write(&text);
    Ok(if args.strict { strict(&comparison) } else { Exit::Pass })
}

/// Returns the exit code of `--strict`: fails if the runs cannot support a claim.
fn strict(comparison: &Comparison) -> Exit {
    if !comparison.is_sound() {
        Exit::Invalid
    } else if comparison.same_machine {
        Exit::Pass
    } else {
        Exit::NoBaseline
    }
}
