//! Targets of fuzzing: functions that take any bytes, and panic where the code breaks a promise.
//!
//! libFuzzer calls them from the programs in `fuzz/`. The test below calls them with every file of the corpus.
//! `docs/reliability.md` says how to run and extend them. This module is in tests and in fuzz builds only.

mod connections;
mod control;
mod logs;
mod runs;
mod tokens;
mod worlds;

/// Function that takes one input.
type Target = fn(&[u8]);

/// The targets, by the names of their folders in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("arm", control::arm),
    ("assertion", tokens::assertion),
    ("faults", worlds::faults),
    ("hlog", logs::interval_log),
    ("query", connections::query),
    ("records", worlds::records),
    ("request", connections::request),
    ("response", runs::response),
    ("run_json", runs::run_json),
    ("scenario", runs::scenario),
    ("sts", control::sts),
    ("throttle", worlds::throttle),
    ("trace", runs::trace),
    ("valgrind", logs::valgrind),
    ("world_file", worlds::world_file),
];

/// Gives `input` to the target with this name.
///
/// # Panics
/// Panics if there is no such target, or if the target finds a broken promise.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(own, _)| *own == name);
    let Some((_, target)) = target else { panic!("there is no fuzz target `{name}`") };
    target(input);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::*;

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
    }

    /// Returns the inputs of a target that make it panic, and the number of all its inputs.
    fn replay(name: &str) -> (Vec<PathBuf>, usize) {
        let (mut failed, mut count) = (Vec::new(), 0);
        for entry in fs::read_dir(corpus().join(name)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            count += 1;
            if catch_unwind(|| run(name, &input)).is_err() {
                failed.push(path);
            }
        }
        (failed, count)
    }

    #[test]
    fn no_input_of_the_corpus_breaks_a_promise() {
        let mut failed = Vec::new();
        for (name, _) in TARGETS {
            let (of_target, count) = replay(name);
            assert!(count > 0, "the corpus of {name} is empty");
            failed.extend(of_target);
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn every_folder_of_the_corpus_and_every_program_is_a_target() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let folders = fs::read_dir(corpus()).unwrap();
        let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(folders.collect::<BTreeSet<_>>(), names);
        let manifest = fs::read_to_string(corpus().join("../Cargo.toml")).unwrap();
        let programs = manifest.split("[[bin]]\nname = \"").skip(1);
        let programs = programs.map(|rest| rest.split('"').next().unwrap().to_owned());
        assert_eq!(programs.collect::<BTreeSet<_>>(), names);
    }

    #[test]
    #[should_panic(expected = "there is no fuzz target `nothing`")]
    fn a_name_of_no_target_is_refused() {
        run("nothing", b"");
    }
}
