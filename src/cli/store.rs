//! `mintbench store`: checks a data folder that no server has open.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::exit::{Exit, refuse};
use super::terminal::{PrintError, print};
use crate::service::server::{StoreError, check_store};

/// Check the data folder of a server
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Verify every page and every record of a store, without changes
    ///
    /// Stop the server of the folder first.
    #[command(
        after_help = "Exit codes: 0 the store is sound; 1 it is damaged, and what is lost is printed; 2 it cannot be \
checked."
    )]
    Check {
        /// Data folder: the value of `serve --data`
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// Runs the command.
pub(super) fn main(args: &StoreArgs) -> Exit {
    let Action::Check { folder } = &args.action;
    check(folder).unwrap_or_else(|error| refuse(&error))
}

/// Reason why a store was not checked, or why the result was not printed.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("cannot check the store")]
    Check(#[source] StoreError),
    #[error("there is no store in `{folder}`; name the folder of `serve --data`", folder = .0.display())]
    NoStore(PathBuf),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Errors of the system for a path that does not lead to a store.
const ABSENT: [ErrorKind; 2] = [ErrorKind::NotADirectory, ErrorKind::NotFound];

fn check(folder: &Path) -> Result<Exit, CheckError> {
    let checkup = check_store(folder).map_err(|error| match error {
        StoreError::File { source, .. } if ABSENT.contains(&source.kind()) => {
            CheckError::NoStore(folder.to_owned())
        }
        error => CheckError::Check(error),
    })?;
    let (records, folder) = (checkup.records, folder.display());
    let (text, exit) = if checkup.damages.is_empty() {
        (format!("the store in {folder} is sound: {records} records\n"), Exit::Pass)
    } else {
        let damages = checkup.damages.join("\n  ");
        let text = format!(
            "the store in {folder} is damaged; restore the folder from a backup:\n  {damages}\n{records} records can be read\n"
        );
        (text, Exit::Failed)
    };
    print(&text)?;
    Ok(exit)
}
