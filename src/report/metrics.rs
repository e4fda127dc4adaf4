//! A run as a row of numbers, for tools that watch trends.
//!
//! Two forms: a JSON list of metrics (each with the fields of the run, so that every entry stands
//! alone), and CSV as Apache Otava reads it (docs/CSV.md of apache/otava: a time column, attribute
//! columns that are copied, and one column per metric).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::stored::Run;
use super::stored::run::{ClassResult, Percentiles};
use crate::load::class::Class;

/// Why numbers cannot be handed on.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file has other columns.
    #[error(
        "`{path}` has other columns than this version writes: its rows cannot be continued; name a new file",
        path = .0.display()
    )]
    Columns(PathBuf),
    /// The run cannot stand beside others.
    #[error(
        "the run is not added to `{path}`: {why}, and a trend must not hold it",
        path = path.display()
    )]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with the run.
        why: &'static str,
    },
    /// The file cannot be read or written.
    #[error("cannot write `{path}`", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a run was a run of, in the words of whoever measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Which version was measured; without one it is that of this program.
    pub commit: Option<String>,
    /// Of which branch.
    pub branch: Option<String>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither: it says how the run was.
    Neither,
}

/// One number of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, which does not change from run to run.
    pub name: String,
    /// None when it is not known of this run.
    pub value: Option<f64>,
    /// What it counts.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
}

fn metric(
    name: impl Into<String>,
    value: Option<f64>,
    unit: &'static str,
    better: Better,
) -> Metric {
    Metric { name: name.into(), value, unit, better }
}

/// Every number of a run, always the same ones in the same order.
pub fn of(run: &Run) -> Vec<Metric> {
    let mut metrics = whole(run);
    metrics
        .extend(Class::ALL.into_iter().flat_map(|class| of_class(class, run.classes.get(&class))));
    metrics
}

fn whole(run: &Run) -> Vec<Metric> {
    let broker = run.broker.as_ref();
    let hits = broker.and_then(|b| ratio(b.hits, [b.hits, b.misses, b.coalesced]));
    let (lag, validity) = (run.validity.lag_us, &run.validity);
    vec![
        metric("rate_achieved", run.load.rate_achieved, "1/s", Better::Higher),
        metric("rate_answered", Some(run.load.rate_answered), "1/s", Better::Higher),
        metric(
            "broker_cpu_us_per_request",
            broker.and_then(|b| b.cpu_us_per_request),
            "us",
            Better::Lower,
        ),
        metric(
            "broker_anonymous_bytes",
            broker.and_then(|b| b.anonymous_bytes).map(float),
            "bytes",
            Better::Lower,
        ),
        // Counts how the executable lies in the page cache, too: equal builds differ by 10 %.
        metric(
            "broker_rss_bytes",
            broker.and_then(|b| b.rss_bytes).map(float),
            "bytes",
            Better::Neither,
        ),
        metric("broker_hit_ratio", hits, "1", Better::Higher),
        metric("broker_mints", broker.map(|b| float(b.mints)), "1", Better::Neither),
        metric("lag_p99_us", lag.p99, "us", Better::Neither),
        metric("lag_p999_us", lag.p999, "us", Better::Neither),
        metric("hiccup_p999_us", validity.hiccup_us.p999, "us", Better::Neither),
        metric("generator_cpu_share", Some(validity.generator_cpu_share), "1", Better::Neither),
        metric("host_steal_share", Some(run.host.steal_share), "1", Better::Neither),
    ]
}

fn of_class(class: Class, result: Option<&ClassResult>) -> Vec<Metric> {
    let counts = [("count", Better::Neither), ("errors", Better::Lower)];
    let counted = result.map(|result| [result.count, result.errors]);
    let mut metrics: Vec<Metric> = counts
        .into_iter()
        .enumerate()
        .map(|(index, (name, better))| {
            let value = counted.and_then(|counted| counted.get(index).copied()).map(float);
            metric(format!("{class}_{name}"), value, "1", better)
        })
        .collect();
    for (latency, percentiles) in [
        ("response", result.map(|result| result.response_us)),
        ("service", result.map(|result| result.service_us)),
    ] {
        let Percentiles { p50, p90, p99, p999, max } = percentiles.unwrap_or_default();
        let named = [("p50", p50), ("p90", p90), ("p99", p99), ("p999", p999), ("max", max)];
        metrics.extend(named.map(|(name, value)| {
            metric(format!("{class}_{latency}_{name}_us"), value, "us", Better::Lower)
        }));
    }
    metrics
}

fn ratio(part: u64, all: [u64; 3]) -> Option<f64> {
    let all: u64 = all.iter().sum();
    (all > 0).then(|| float(part) / float(all))
}

/// The fields that say which run it was.
fn attributes(run: &Run, label: &Label) -> [(&'static str, String); 8] {
    let own = run.build.git_commit.clone();
    [
        ("time", run.started_at.clone()),
        ("commit", label.commit.clone().unwrap_or(own)),
        ("branch", label.branch.clone().unwrap_or_default()),
        ("version", run.build.version.clone()),
        ("scenario", run.scenario.clone()),
        ("seed", run.seed.to_string()),
        ("host", run.host.fingerprint.clone()),
        ("run_id", run.run_id.clone()),
    ]
}

/// An entry of the list.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    unit: &'a str,
    value: f64,
    better: Better,
    time: &'a str,
    commit: &'a str,
    branch: &'a str,
    scenario: &'a str,
    host: &'a str,
    run_id: &'a str,
    valid: bool,
}

/// Writes the numbers that are known of a run as a JSON list, also of an invalid run: each says so.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(run: &Run, label: &Label, path: &Path) -> Result<(), MetricsError> {
    let fields = attributes(run, label);
    let [(_, time), (_, commit), (_, branch), ..] = &fields;
    let metrics = of(run);
    let known = metrics.iter().filter_map(|metric| Some((metric, metric.value?)));
    let entries: Vec<Entry<'_>> = known
        .map(|(metric, value)| Entry {
            name: &metric.name,
            unit: metric.unit,
            value,
            better: metric.better,
            time,
            commit,
            branch,
            scenario: &run.scenario,
            host: &run.host.fingerprint,
            run_id: &run.run_id,
            valid: run.validity.valid && run.checks.passed,
        })
        .collect();
    let write = || {
        let mut text = serde_json::to_vec_pretty(&entries)?;
        text.push(b'\n');
        fs::write(path, text)
    };
    write().map_err(|source| MetricsError::Write { path: path.to_owned(), source })
}

/// Adds a run as a row to a CSV file, which gets its header when it is new.
///
/// # Errors
/// When the file has other columns or cannot be written, and for a run that is invalid or failed
/// its checks: its numbers say nothing about what was measured.
pub fn append_csv(run: &Run, label: &Label, path: &Path) -> Result<(), MetricsError> {
    let unsound = |why| MetricsError::Unsound { path: path.to_owned(), why };
    if !run.checks.passed {
        return Err(unsound("its checks failed"));
    }
    if !run.validity.valid {
        return Err(unsound("it is invalid"));
    }
    let failed = |source| MetricsError::Write { path: path.to_owned(), source };
    let (header, row) = rows(run, label);
    let before = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(failed)?,
    };
    let mut text = String::new();
    match before.lines().next() {
        None => text.push_str(&header),
        Some(first) if format!("{first}\n") == header => {}
        Some(_) => return Err(MetricsError::Columns(path.to_owned())),
    }
    // Whoever edited the file by hand may have left its last line open.
    if !before.is_empty() && !before.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&row);
    // In one write: runs that end at the same time do not mix their rows.
    let open = OpenOptions::new().create(true).append(true).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

fn rows(run: &Run, label: &Label) -> (String, String) {
    let (fields, metrics) = (attributes(run, label), of(run));
    let names = fields.iter().map(|(name, _)| *name);
    let names = names.chain(metrics.iter().map(|metric| metric.name.as_str()));
    let values = fields.iter().map(|(_, value)| quoted(value));
    let numbers = metrics.iter().map(|m| m.value.map_or(String::new(), |value| value.to_string()));
    let line = |cells: Vec<String>| format!("{}\n", cells.join(","));
    (line(names.map(str::to_owned).collect()), line(values.chain(numbers).collect()))
}

/// A cell as RFC 4180 section 2 has it.
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stored::read_run;

    fn sound() -> Run {
        let mut run = read_run(Path::new("results/reference/steady")).unwrap().unwrap();
        run.validity.valid = true;
        run.checks.passed = true;
        run
    }

    #[test]
    fn runs_are_rows_of_one_file_under_one_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trend.csv");
        let run = sound();
        let label = Label { commit: Some("a\"b,c".to_owned()), branch: Some("main".to_owned()) };
        append_csv(&run, &label, &path).unwrap();
        let mut other = run.clone();
        other.classes.clear();
        other.broker = None;
        append_csv(&other, &Label::default(), &path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let header: Vec<&str> = lines[0].split(',').collect();
        assert_eq!(header[..3], ["time", "commit", "branch"]);
        assert!(lines[1].starts_with("2026-"), "{}", lines[1]);
        assert!(lines[1].contains(",\"a\"\"b,c\",main,"), "{}", lines[1]);
        let column = header.iter().position(|name| *name == "hit_response_p99_us").unwrap();
        let cells: Vec<&str> = lines[1].rsplit(',').collect();
        let cell: f64 = cells[header.len() - 1 - column].parse().unwrap();
        assert_eq!(Some(cell), run.classes[&Class::Hit].response_us.p99);
        assert_eq!(lines[2].split(',').count(), header.len());
    }

    #[test]
    fn other_columns_and_unsound_runs_are_refused_and_leave_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trend.csv");
        fs::write(&path, "time,commit,latency\n1,2,3\n").unwrap();
        let refused =
            |run: &Run| append_csv(run, &Label::default(), &path).unwrap_err().to_string();
        assert!(refused(&sound()).contains("other columns"));
        let mut run = sound();
        run.validity.valid = false;
        assert!(refused(&run).contains("it is invalid"));
        run.checks.passed = false;
        assert!(refused(&run).contains("its checks failed"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "time,commit,latency\n1,2,3\n");
    }

    #[test]
    fn the_list_holds_what_is_known_and_says_whether_it_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.json");
        let mut run = sound();
        run.validity.valid = false;
        write_json(&run, &Label::default(), &path).unwrap();
        let list: Vec<serde_json::Value> =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let p99 = list.iter().find(|entry| entry["name"] == "hit_response_p99_us").unwrap();
        assert_eq!(p99["value"].as_f64(), run.classes[&Class::Hit].response_us.p99);
        assert_eq!(
            (&p99["unit"], &p99["better"], &p99["valid"]),
            (&"us".into(), &"lower".into(), &false.into())
        );
        assert!(list.iter().all(|entry| !entry["name"].as_str().unwrap().starts_with("coalesced")));
    }
}
