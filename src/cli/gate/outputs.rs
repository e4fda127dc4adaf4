//! Where a verdict goes: standard output, `gate.json`, JUnit, Markdown.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::GateArgs;
use crate::gate::document::Document;
use crate::gate::leg::{Pair, Side, merged};
use crate::gate::{junit, markdown, text};
use crate::report::{hgrm, html};

/// Why a verdict cannot be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    #[error("cannot create the folder `{path}`; choose another with --out", path = path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("`{path}` holds a gate already; choose another folder with --out", path = path.display())]
    Taken { path: PathBuf },
    #[error("there is no folder for `{path}`; make it, or name another file", path = path.display())]
    NoFolder { path: PathBuf },
    #[error("cannot write `{path}`", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Report(#[from] html::ReportError),
    #[error("cannot make gate.json")]
    Json(#[from] serde_json::Error),
}

const FILE: &str = "gate.json";

/// Finds out before the minutes of measuring what would fail after them.
pub(super) fn check(args: &GateArgs) -> Result<(), OutputError> {
    if let Some(path) = &args.out {
        if path.join(FILE).exists() {
            return Err(OutputError::Taken { path: path.clone() });
        }
        fs::create_dir_all(path)
            .map_err(|source| OutputError::Create { path: path.clone(), source })?;
    }
    for path in [&args.junit, &args.markdown].into_iter().flatten() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(OutputError::NoFolder { path: path.clone() });
        }
    }
    Ok(())
}

/// Writes the files that are asked for.
pub(super) fn write(
    args: &GateArgs,
    document: &Document,
    pairs: &[Pair],
) -> Result<(), OutputError> {
    if let Some(folder) = &args.out {
        for side in [Side::Base, Side::Candidate] {
            curves(folder, pairs, side)?;
        }
        // Last but for the page that is made of it: a folder that has it is complete.
        store(&folder.join(FILE), &json(document)?)?;
        html::write(folder)?;
    }
    if let Some(path) = &args.junit {
        store(path, &junit::render(document))?;
    }
    if let Some(path) = &args.markdown {
        store(path, &markdown::render(document))?;
    }
    Ok(())
}

/// Prints the verdict for a person or a script.
pub(super) fn print(args: &GateArgs, document: &Document) -> io::Result<()> {
    let text = if args.json { json(document)? } else { text::render(document) };
    io::stdout().lock().write_all(text.as_bytes())
}

/// The distributions of all legs of one side, as a run has them of its one.
fn curves(folder: &Path, pairs: &[Pair], side: Side) -> Result<(), OutputError> {
    for (class, histogram) in merged(pairs, side) {
        let path = folder.join(format!("{}.response.{class}.hgrm", side.as_str()));
        let mut text = Vec::new();
        let written = hgrm::write(&histogram, &mut text).and_then(|()| fs::write(&path, &text));
        written.map_err(|source| OutputError::Write { path, source })?;
    }
    Ok(())
}

fn json(document: &Document) -> serde_json::Result<String> {
    serde_json::to_string_pretty(document).map(|text| text + "\n")
}

fn store(path: &Path, text: &str) -> Result<(), OutputError> {
    fs::write(path, text).map_err(|source| OutputError::Write { path: path.to_owned(), source })
}
