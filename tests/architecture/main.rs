//! Tests of the architecture: arrows between modules, file sizes, names, time and panics.
//!
//! `table.rs` holds the rules to read; `planted.rs` shows that every rule catches its violations.

mod lexer;
mod paths;
mod planted;
mod rules;
mod table;

use std::path::Path;

/// Folders of Rust sources. A folder that does not exist yet counts as empty.
const ROOTS: [&str; 6] = ["src", "benches", "examples", "tests", "loadtests", "fuzz"];

#[test]
fn every_source_file_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ROOTS {
        collect(&root.join(folder), &mut files);
    }
    assert!(files.len() > 5, "found only {} source files below {}", files.len(), root.display());
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(root).unwrap().to_str().unwrap();
            rules::check(path, &std::fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn arrows_point_down_so_the_table_has_no_cycle() {
    assert_eq!(table::upward(table::ARROWS), Vec::<String>::new());
}

#[test]
fn the_measuring_side_reaches_the_broker_over_the_network_only() {
    let reached = |allowed: &'static str| -> Vec<&str> {
        allowed.split_whitespace().filter(|name| table::holds(table::MEASURED, name)).collect()
    };
    for (module, allowed) in table::ARROWS {
        if table::holds(table::MEASURING, module) {
            assert_eq!(reached(allowed), Vec::<&str>::new(), "named by {module}");
        }
    }
    let (_, serve) = table::row("cli/serve.rs").unwrap();
    assert_eq!(reached(serve), ["server"], "serve starts the broker and knows nothing else of it");
}

#[test]
fn surfaces_are_peers_and_statistics_stand_alone() {
    for surface in table::SURFACES.split(' ') {
        let (_, allowed) = table::row(&format!("{surface}.rs")).unwrap();
        let peer = allowed.split(' ').find(|name| table::holds(table::SURFACES, name));
        assert_eq!(peer, None, "{surface}");
    }
    assert_eq!(table::row("stats/mod.rs"), Some(("stats", "")));
}
