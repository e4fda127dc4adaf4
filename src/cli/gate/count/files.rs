//! Files of a gate that counted, and its text on standard output.

use std::path::PathBuf;

use crate::base::files;
use crate::base::printable::json;
use crate::cli::gate::args::GateArgs;
use crate::cli::gate::files::{FileError, check_files, stored};
use crate::cli::terminal::{PrintError, print as print_result};
use crate::harness::document::count::Count;
use crate::harness::gate::count::{junit, markdown, text};
use crate::harness::report::folder::out_folder::{OutFolder, OutFolderError};

const FILE: &str = "count.json";

/// Checks the outputs before the counting, and creates the folder.
pub(super) fn check(args: &GateArgs) -> Result<Option<OutFolder>, FileError> {
    let folder = args.out.clone().map(claim).transpose()?;
    check_files(args)?;
    Ok(folder)
}

fn claim(path: PathBuf) -> Result<OutFolder, OutFolderError> {
    if path.join(FILE).exists() {
        return Err(OutFolderError::Taken { path, what: "a gate" });
    }
    OutFolder::claim(path, |_| false)
}

/// Writes the files that the user asked for.
pub(super) fn write(args: &GateArgs, document: &Count) -> Result<(), FileError> {
    if let Some(folder) = &args.out {
        let path = folder.join(FILE);
        stored(&path, files::replace(&path, files::PLAIN, json(document)?.as_bytes()))?;
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
pub(super) fn print(args: &GateArgs, document: &Count) -> Result<(), PrintError> {
    let text = if args.json { json(document)? } else { text::render(document) };
    print_result(&text)
}
