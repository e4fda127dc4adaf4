//! `mintbench compare A B`: compares two result folders.

use super::args::FolderArgs;
use crate::base::printable::json;
use crate::cli::exit::{Exit, refuse};
use crate::cli::output_files;
use crate::cli::output_files::OutputError;
use crate::cli::terminal::{PrintError, print};
use crate::harness::document::compare::Comparison;
use crate::harness::report::compare::Side;
use crate::harness::report::html;
use crate::harness::report::html::{ReportError, compare as page};

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

/// Reason why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

fn compare(args: &FolderArgs, form: Form) -> Result<Exit, CompareError> {
    output_files::check(&[("html", args.html.as_deref())])?;
    let sides = args.dirs.iter().map(|dir| Side::read(dir)).collect::<Result<Vec<_>, _>>();
    let sides = sides.map_err(ReportError::from)?;
    // The caller has checked that there are two.
    let [a, b] = sides.as_slice() else { return Ok(Exit::Usage) };
    let comparison = Comparison::new(a, b);
    if let Some(path) = &args.html {
        html::write_to(path, &page::page(a, b, &comparison))?;
    }
    let text = match form {
        Form::Text => comparison.text(),
        Form::Json => json(&comparison).map_err(PrintError::from)?,
    };
    print(&text)?;
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
