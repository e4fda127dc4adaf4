//! `mintbench report`: (re)writes the HTML report of a result folder.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, refuse};
use crate::report::html;

/// Write the HTML report of a result folder again
///
/// A run writes it itself; this is for folders of an older version, of a run that was killed, and
/// for folders that were edited.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 written; 2 the folder cannot be read or written.")]
pub struct ReportArgs {
    /// The result folder
    #[arg(value_name = "DIR", env = "MINTBENCH_REPORT_DIR")]
    dir: PathBuf,
}

/// Runs the command.
pub fn main(args: &ReportArgs) -> Exit {
    match html::write(&args.dir) {
        Ok(path) => {
            let _ = writeln!(std::io::stdout().lock(), "report    {}", path.display());
            Exit::Pass
        }
        Err(error) => refuse(&error),
    }
}
