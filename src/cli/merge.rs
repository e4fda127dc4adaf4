//! `mintbench merge`: adds result folders exactly.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, refuse};
use super::terminal::{PrintError, print};
use crate::base::printable::json;
use crate::harness::document::run::Run;
use crate::harness::report::folder::Folder;
use crate::harness::report::merge::{Align, MergeError, merge};
use crate::harness::report::text::merged;

/// Add result folders exactly, by their histograms
///
/// For a run whose load came from several machines, or from one machine several times. Merged results can be
/// merged again: the order and the steps make no difference.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes, in this order: 2 the folders cannot be read or added; 1 a part \
failed a check; 4 a part is invalid; 5 an SLO was breached; 3 too few answers for an SLO; 0 merged."
)]
pub(super) struct MergeArgs {
    /// Result folders
    #[arg(value_name = "DIR", required = true, num_args = 1.., value_delimiter = ',', env = "MINTBENCH_MERGE_DIRS")]
    dirs: Vec<PathBuf>,
    /// Folder of the merged result
    #[arg(long, value_name = "DIR", env = "MINTBENCH_MERGE_OUT")]
    out: PathBuf,
    /// Seconds that are added: those of the same time, or those of the same number from the start
    #[arg(long, value_enum, default_value_t = Align::Time, env = "MINTBENCH_MERGE_ALIGN")]
    align: Align,
    /// Print run.json instead of the tables
    #[arg(long, env = "MINTBENCH_MERGE_JSON")]
    json: bool,
}

/// Runs the command.
pub(super) fn main(args: &MergeArgs) -> Exit {
    match run(args) {
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

/// Reason why nothing was merged, or why the result was not printed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

fn run(args: &MergeArgs) -> Result<Exit, CliError> {
    let folder = Folder::create(args.out.clone()).map_err(MergeError::from)?;
    let whole = merge(&args.dirs, args.align)?;
    let folder = whole.write(folder)?;
    let text = if args.json {
        json(&whole.run).map_err(PrintError::from)?
    } else {
        format!("{}results   {}\n", merged::render(&whole.run), folder.path().display())
    };
    print(&text)?;
    Ok(exit(&whole.run))
}

/// Returns the exit code in the order of a run: failed checks, invalid parts, missed objectives, and
/// objectives that nobody can tell.
fn exit(run: &Run) -> Exit {
    if !run.checks.passed {
        Exit::Failed
    } else if !run.validity.valid {
        Exit::Invalid
    } else if run.slo.iter().any(|slo| slo.met == Some(false)) {
        Exit::SloBreached
    } else if run.slo.iter().any(|slo| slo.met.is_none()) {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}
