//! Reports, comparisons and merged results, black box: the real binary on the reference results.
//!
//! Assertions read the page itself: tables are compared with `run.json`, and positions of lines are
//! converted back into values by the declared axes.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod compare;
mod gate;
mod merge;
mod outside;
mod page;
mod trend;
mod xml;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mintbench::harness::class::Class;
use mintbench::harness::report::stored::Log;
use mintbench::harness::stats::intervals::quantile_interval;
use serde_json::Value;

pub(crate) const REFERENCES: [&str; 6] =
    ["churn", "herd", "mint", "rotate", "steady", "steady-100k"];

pub(crate) fn mintbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mintbench")).args(args).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A writable copy of a reference result.
pub(crate) struct Copy {
    root: tempfile::TempDir,
}

impl Copy {
    pub(crate) fn of(name: &str) -> Self {
        let copy = Self { root: tempfile::tempdir().unwrap() };
        copy.add(name, "run");
        copy
    }

    /// Copies another reference result beside it.
    pub(crate) fn add(&self, name: &str, to: &str) {
        let to = self.root.path().join(to);
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(Path::new("results/reference").join(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Changes the `run.json` in one of the folders.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(name).join("run.json");
        let mut run = json(&path);
        change(&mut run);
        fs::write(path, serde_json::to_vec(&run).unwrap()).unwrap();
    }

    /// Writes the report of one of the folders and returns its text.
    pub(crate) fn report(&self, name: &str) -> String {
        let output = mintbench(&["report", &self.text(name)]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        fs::read_to_string(self.path(name).join("report.html")).unwrap()
    }
}

/// Returns the 95 % interval of the p99 response, computed from the seconds of the log. This is not
/// the page's way, because the `run.json` of a reference may be older than the method.
pub(crate) fn p99_interval_us(folder: &Path, class: &str) -> Option<[f64; 2]> {
    let log = Log::read(&folder.join("response.hlog")).unwrap();
    let seconds: Vec<_> = log.seconds(Class::named(class).unwrap()).into_values().collect();
    let (low, high) = quantile_interval(&seconds, 0.99).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 ns")]
    let us = [low, high].map(|ns| ns as f64 / 1000.0);
    Some(us)
}

pub(crate) fn against_schema(name: &str, value: &Value) {
    let schema = json(&Path::new("docs/schema").join(format!("{name}.json")));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
