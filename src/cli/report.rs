//! `mintbench report`: (re)writes the HTML report of a result folder.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, print_error, printed, refuse};
use super::output_files::{self, OutputError};
use super::terminal::print;
use crate::harness::report::html;
use crate::harness::report::html::ReportError;
use crate::harness::report::markdown;
use crate::harness::report::metrics::{Label, MetricsError, append_csv, check_csv, write_json};
use crate::harness::report::stored::read_run;

/// Write the HTML report of a result folder again
///
/// A run writes its own report. Use this command for a folder of an older version, of a run that was
/// killed, or that was edited.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 written; 2 the folder cannot be read or written; 4 the run is \
invalid or failed a check, and was not added to the CSV file."
)]
pub(super) struct ReportArgs {
    /// Result folder
    #[arg(value_name = "DIR", env = "MINTBENCH_REPORT_DIR")]
    dir: PathBuf,
    /// Also write the numbers of the run to this file, as a JSON list
    #[arg(long, value_name = "FILE", env = "MINTBENCH_REPORT_OUT_JSON")]
    out_json: Option<PathBuf>,
    /// Also add the run as a row to this CSV file, in the format of Apache Otava
    #[arg(long, value_name = "FILE", env = "MINTBENCH_REPORT_OUT_CSV")]
    out_csv: Option<PathBuf>,
    /// Also write the run as a table in GitHub Markdown, for a comment on a pull request
    #[arg(long, value_name = "FILE", env = "MINTBENCH_REPORT_OUT_MARKDOWN")]
    out_markdown: Option<PathBuf>,
    /// Measured version, in the JSON and CSV files [default: the commit of this program]
    #[arg(long, value_name = "TEXT", env = "MINTBENCH_REPORT_OUT_COMMIT")]
    out_commit: Option<String>,
    /// Branch of the version, in the JSON and CSV files
    #[arg(long, value_name = "TEXT", env = "MINTBENCH_REPORT_OUT_BRANCH")]
    out_branch: Option<String>,
}

/// Files that receive the numbers of a run, besides its folder.
#[derive(Debug)]
pub(super) struct Exports<'a> {
    /// File for a JSON list.
    pub(super) json: Option<&'a Path>,
    /// CSV file for a row.
    pub(super) csv: Option<&'a Path>,
    /// File for a table in Markdown.
    pub(super) markdown: Option<&'a Path>,
    /// Name of the measured version.
    pub(super) label: Label,
}

/// Reasons why a report or a file beside it was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("`{folder}` has no run.json, so there are no numbers to hand on: the run did not end", folder = .0.display())]
    Unfinished(PathBuf),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl Exports<'_> {
    /// Checks that the files can be written.
    ///
    /// # Errors
    /// Returns [`WriteError`] when a file cannot be written, or when the CSV file has other columns.
    pub(super) fn check(&self) -> Result<(), WriteError> {
        output_files::check(&[
            ("out-json", self.json),
            ("out-csv", self.csv),
            ("out-markdown", self.markdown),
        ])?;
        Ok(self.csv.map_or(Ok(()), check_csv)?)
    }
}

/// Writes the report of a folder, and the numbers of its run to the other files.
///
/// # Errors
/// Returns [`WriteError`] when a file cannot be read or written.
pub(super) fn write(folder: &Path, to: &Exports<'_>) -> Result<PathBuf, WriteError> {
    let path = html::write(folder)?;
    if to.json.is_none() && to.csv.is_none() && to.markdown.is_none() {
        return Ok(path);
    }
    let run = read_run(folder).map_err(ReportError::from)?;
    let run = run.ok_or_else(|| WriteError::Unfinished(folder.to_owned()))?;
    to.json.map_or(Ok(()), |path| write_json(&run, &to.label, path))?;
    to.markdown.map_or(Ok(()), |path| markdown::write(&run, path))?;
    to.csv.map_or(Ok(()), |path| append_csv(&run, &to.label, path))?;
    Ok(path)
}

/// Runs the command.
pub(super) fn main(args: &ReportArgs) -> Exit {
    let label = Label { commit: args.out_commit.clone(), branch: args.out_branch.clone() };
    let (json, csv) = (args.out_json.as_deref(), args.out_csv.as_deref());
    let to = Exports { json, csv, markdown: args.out_markdown.as_deref(), label };
    match to.check().and_then(|()| write(&args.dir, &to)) {
        Ok(path) => printed(print(&format!("report    {}\n", path.display()))),
        Err(error @ WriteError::Metrics(MetricsError::Unsound { .. })) => {
            print_error(&error);
            Exit::Invalid
        }
        Err(error) => refuse(&error),
    }
}
