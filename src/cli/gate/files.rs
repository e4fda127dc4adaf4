//! Files of a verdict (`gate.json`, JUnit, Markdown), and its text on standard output.

use std::io;
use std::path::{Path, PathBuf};

use super::args::GateArgs;
use crate::base::files;
use crate::base::printable::json;
use crate::cli::output_files;
use crate::cli::terminal::{PrintError, print as print_result};
use crate::harness::document::gate::Gate;
use crate::harness::gate::leg::{Pair, Side, merged};
use crate::harness::gate::{junit, markdown, text};
use crate::harness::report::folder::hgrm;
use crate::harness::report::folder::out_folder::{OutFolder, OutFolderError};
use crate::harness::report::html;

/// Reasons why a verdict cannot be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Output(#[from] output_files::OutputError),
    #[error(transparent)]
    Folder(#[from] OutFolderError),
    #[error("cannot write `{path}`", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Report(#[from] html::ReportError),
    #[error("cannot make the JSON of the verdict")]
    Json(#[from] serde_json::Error),
}

const FILE: &str = "gate.json";

/// Checks the outputs before the minutes of measuring, and creates the folder.
pub(super) fn check(args: &GateArgs) -> Result<Option<OutFolder>, FileError> {
    let folder = args.out.clone().map(claim).transpose()?;
    check_files(args)?;
    Ok(folder)
}

/// Checks the files that every gate can write.
pub(super) fn check_files(args: &GateArgs) -> Result<(), FileError> {
    let files = [("junit", args.junit.as_deref()), ("markdown", args.markdown.as_deref())];
    Ok(output_files::check(&files)?)
}

fn claim(path: PathBuf) -> Result<OutFolder, OutFolderError> {
    if path.join(FILE).exists() {
        return Err(OutFolderError::Taken { path, what: "a gate" });
    }
    let curve = |side: Side, name: &str| {
        let sided = name.strip_prefix(side.as_str());
        let is_curve = Path::new(name).extension().is_some_and(|extension| extension == "hgrm");
        is_curve && sided.is_some_and(|rest| rest.starts_with(".response."))
    };
    OutFolder::claim(path, |name| {
        name == html::FILE || curve(Side::Base, name) || curve(Side::Candidate, name)
    })
}

/// Writes the files that the user asked for.
pub(super) fn write(args: &GateArgs, document: &Gate, pairs: &[Pair]) -> Result<(), FileError> {
    if let Some(folder) = &args.out {
        for side in [Side::Base, Side::Candidate] {
            curves(folder, pairs, side)?;
        }
        // Write this file last, except for the page made from it: a folder with this file is complete.
        let path = folder.join(FILE);
        stored(&path, files::replace(&path, files::PLAIN, json(document)?.as_bytes()))?;
        html::write(folder)?;
    }
    if let Some(path) = &args.junit {
        stored(path, files::write(path, junit::render(document).as_bytes()))?;
    }
    if let Some(path) = &args.markdown {
        stored(path, files::write(path, markdown::render(document).as_bytes()))?;
    }
    Ok(())
}

/// Prints the verdict for a person or a script.
pub(super) fn print(args: &GateArgs, document: &Gate) -> Result<(), PrintError> {
    let text = if args.json { json(document)? } else { text::render(document) };
    print_result(&text)
}

/// Writes the distributions of all legs of one side, in the format of a run's distributions.
fn curves(folder: &Path, pairs: &[Pair], side: Side) -> Result<(), FileError> {
    for (class, histogram) in merged(pairs, side) {
        let path = folder.join(format!("{}.response.{class}.hgrm", side.as_str()));
        let mut text = Vec::new();
        let written = hgrm::write(&histogram, &mut text);
        stored(&path, written.and_then(|()| files::replace(&path, files::PLAIN, &text)))?;
    }
    Ok(())
}

pub(super) fn stored(path: &Path, written: io::Result<()>) -> Result<(), FileError> {
    written.map_err(|source| FileError::Write { path: path.to_owned(), source })
}
