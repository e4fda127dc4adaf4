//! Tests of the architecture: arrows between wings, rooms and files, sizes, names, time and panics.
//!
//! `table.rs` holds the rules to read. `planted.rs` shows that every rule catches its violations.
//! `source.rs` reads a file with `syn`, `names.rs` finds the file of each name, `arrows.rs` and
//! `code.rs` judge.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test")]

mod arrows;
mod code;
mod names;
mod planted;
mod source;
mod table;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders of Rust sources. A folder that does not exist counts as empty.
const ROOTS: [&str; 6] = ["src", "benches", "examples", "tests", "loadtests", "fuzz"];

#[test]
fn every_source_file_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    for folder in ROOTS {
        collect(root, &root.join(folder), &mut files);
    }
    assert!(files.len() > 5, "found only {} source files below {}", files.len(), root.display());
    let wrong = check(&files);
    assert!(wrong.is_empty(), "\n{}\n{} violations", wrong.join("\n"), wrong.len());
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if is_of_sources(&path) {
                collect(root, &path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text);
        }
    }
}

/// Returns false for the folders that Cargo fills, which it marks, and for hidden ones, where tests keep what they install.
fn is_of_sources(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && !folder.join("CACHEDIR.TAG").exists()
}

/// Returns one sentence for every violation in `files`: path from the repository, and text.
fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    let (mut wrong, mut sources) = (Vec::new(), BTreeMap::new());
    for (path, text) in files {
        match source::Source::read(&module(path), text) {
            Ok(source) => {
                wrong.extend(code::check(path, text, &source));
                if path.starts_with("src/") {
                    sources.insert(path.clone(), source);
                }
            }
            Err(error) => wrong.push(format!("{path}: {error}")),
        }
    }
    wrong.extend(arrows::check(&names::Names::new(&sources).arrows(&sources)));
    wrong.extend(folders(files));
    wrong.extend(ninth_decile(&sources));
    wrong
}

/// Returns the module of a file: `src/base/tls/mod.rs` is `base::tls`, `src/lib.rs` the crate root.
fn module(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { String::new() } else { path.replace('/', "::") }
}

fn folders(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for path in files.keys().filter(|path| path.starts_with("src/")) {
        *rooms.entry(path.rsplit_once('/').map_or("", |(room, _)| room)).or_default() += 1;
    }
    let full = rooms.iter().filter(|(_, count)| **count > table::ROOM_FILES_MAX);
    let mut wrong: Vec<String> = full
        .map(|(room, count)| {
            format!("{room}: {count} files, more than {}; make rooms in it", table::ROOM_FILES_MAX)
        })
        .collect();
    let entries = files.keys().filter_map(|path| path.strip_prefix("src/")?.split('/').next());
    let wings: BTreeSet<&str> =
        entries.filter(|entry| !matches!(*entry, "lib.rs" | "main.rs")).collect();
    if wings.len() > table::WINGS_MAX {
        wrong.push(format!(
            "src: {} entries besides lib.rs and main.rs, more than {}",
            wings.len(),
            table::WINGS_MAX
        ));
    }
    wrong
}

/// Returns a sentence if more than one function in ten is longer than `FUNCTION_LINES_P90`.
fn ninth_decile(sources: &BTreeMap<String, source::Source>) -> Option<String> {
    let functions = || sources.values().flat_map(|source| &source.functions);
    let long = functions().filter(|(_, _, lines)| *lines > table::FUNCTION_LINES_P90).count();
    let (all, max) = (functions().count(), table::FUNCTION_LINES_P90);
    (long * 10 > all).then(|| format!("src: {long} of {all} functions have more than {max} lines"))
}
