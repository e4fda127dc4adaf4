//! Files of a run besides its result folder: the report, and files for other tools.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::exit::print_error;
use crate::cli::report::{self, Exports, WriteError};
use crate::harness::report::metrics::{Label, MetricsError};

/// Files for other tools: numbers for trends, and a table for a pull request.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct OutputArgs {
    /// Also write the numbers of the run to this file, as a JSON list
    #[arg(id = "out_json", long = "out-json", value_name = "FILE", env = "MINTBENCH_RUN_OUT_JSON")]
    json: Option<PathBuf>,
    /// Also add the run, if it is valid, as a row to this CSV file, in the format of Apache Otava
    #[arg(id = "out_csv", long = "out-csv", value_name = "FILE", env = "MINTBENCH_RUN_OUT_CSV")]
    csv: Option<PathBuf>,
    /// Also write the run as a table in GitHub Markdown, for a comment on a pull request
    #[arg(
        id = "out_markdown",
        long = "out-markdown",
        value_name = "FILE",
        env = "MINTBENCH_RUN_OUT_MARKDOWN"
    )]
    markdown: Option<PathBuf>,
    /// Measured version, in the JSON and CSV files [default: the commit of this program]
    #[arg(
        id = "out_commit",
        long = "out-commit",
        value_name = "TEXT",
        env = "MINTBENCH_RUN_OUT_COMMIT"
    )]
    commit: Option<String>,
    /// Branch of the version, in the JSON and CSV files
    #[arg(
        id = "out_branch",
        long = "out-branch",
        value_name = "TEXT",
        env = "MINTBENCH_RUN_OUT_BRANCH"
    )]
    branch: Option<String>,
}

impl OutputArgs {
    /// Returns true if a file is named.
    pub(super) const fn is_given(&self) -> bool {
        self.json.is_some() || self.csv.is_some() || self.markdown.is_some()
    }

    fn exports(&self) -> Exports<'_> {
        let label = Label { commit: self.commit.clone(), branch: self.branch.clone() };
        let (json, csv) = (self.json.as_deref(), self.csv.as_deref());
        Exports { json, csv, markdown: self.markdown.as_deref(), label }
    }

    /// Checks before the load that the files can be written.
    pub(super) fn check(&self) -> Result<(), WriteError> {
        self.exports().check()
    }

    /// Writes the report of a finished run, and the other files. The result is complete without
    /// them.
    pub(super) fn write(&self, folder: &Path) -> Result<(), WriteError> {
        match report::write(folder, &self.exports()) {
            // The exit code names the problem of the run; this message names its consequence.
            Err(error @ WriteError::Metrics(MetricsError::Unsound { .. })) => {
                print_error(&error);
                Ok(())
            }
            written => written.map(|_| ()),
        }
    }
}
