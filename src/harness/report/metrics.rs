//! A run as a row of numbers, for tools that watch trends.
//!
//! There are two forms. The JSON form is a list of metrics, each with the fields of the run, so that
//! every entry is complete. The CSV form is what Apache Otava reads (docs/CSV.md of apache/otava): a
//! time column, attribute columns that are copied, and one column for each metric.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::files;
use crate::base::files::{ReadError, SERIES_BYTES_MAX};
use crate::base::printable::{json, name};
use crate::harness::class::Class;
use crate::harness::document::percentiles::Percentiles;
use crate::harness::document::run::Run;
use crate::harness::stats::float::float;

/// Reasons why numbers cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricsError {
    /// The file has other columns.
    #[error(
        "`{path}` has other columns than this version writes: its rows cannot be continued; name a new file",
        path = .0.display()
    )]
    Columns(PathBuf),
    /// The run is invalid or failed its checks, so it must not be in a trend.
    #[error(
        "the run is not added to `{path}`: {why}, and a trend must not hold it",
        path = path.display()
    )]
    Unsound {
        /// Path of the file.
        path: PathBuf,
        /// Fault of the run.
        why: &'static str,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error("cannot write `{path}`", path = path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Name of the measured version, chosen by the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    /// Commit of the measured version; without it, the commit of this program.
    pub(crate) commit: Option<String>,
    /// Branch of the measured version.
    pub(crate) branch: Option<String>,
}

/// Direction in which a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// Higher values are better.
    Higher,
    /// Lower values are better.
    Lower,
    /// Neither: the metric describes the run.
    Neither,
}

/// Number of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metric {
    /// Name, the same in every run.
    pub(crate) name: String,
    /// Value, or none if this run does not have it.
    pub(crate) value: Option<f64>,
    /// Unit of the value.
    pub(crate) unit: &'static str,
    /// Direction of improvement.
    pub(crate) better: Better,
}

fn metric(
    name: impl Into<String>,
    value: Option<f64>,
    unit: &'static str,
    better: Better,
) -> Metric {
    Metric { name: name.into(), value, unit, better }
}

/// Returns every number of a run, always the same metrics in the same order.
pub(crate) fn of(run: &Run) -> Vec<Metric> {
    of_any(Some(run))
}

/// Returns every number of a run, or only the names without a run.
fn of_any(run: Option<&Run>) -> Vec<Metric> {
    let mut metrics = whole(run);
    metrics.extend(Class::ALL.into_iter().flat_map(|class| of_class(class, run)));
    metrics
}

fn whole(run: Option<&Run>) -> Vec<Metric> {
    let broker = run.and_then(|run| run.broker.as_ref());
    let hits = broker.and_then(|b| ratio(b.hits, [b.hits, b.misses, b.coalesced]));
    let lag = run.map(|run| run.validity.lag_us);
    let hiccup = run.map(|run| run.validity.hiccup_us);
    let of_run = |number: fn(&Run) -> f64| run.map(number);
    vec![
        metric("rate_achieved", run.and_then(|run| run.load.rate_achieved), "1/s", Better::Higher),
        metric("rate_answered", of_run(|run| run.load.rate_answered), "1/s", Better::Higher),
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
        // This also depends on how the executable lies in the page cache: equal builds differ by 10 %.
        metric(
            "broker_rss_bytes",
            broker.and_then(|b| b.rss_bytes).map(float),
            "bytes",
            Better::Neither,
        ),
        metric("broker_hit_ratio", hits, "1", Better::Higher),
        metric("broker_mints", broker.map(|b| float(b.mints)), "1", Better::Neither),
        metric("lag_p99_us", lag.and_then(|lag| lag.p99), "us", Better::Neither),
        metric("lag_p999_us", lag.and_then(|lag| lag.p999), "us", Better::Neither),
        metric("hiccup_p999_us", hiccup.and_then(|hiccup| hiccup.p999), "us", Better::Neither),
        metric(
            "generator_cpu_share",
            of_run(|run| run.validity.generator_cpu_share),
            "1",
            Better::Neither,
        ),
        metric("host_steal_share", of_run(|run| run.host.steal_share), "1", Better::Neither),
    ]
}

fn of_class(class: Class, run: Option<&Run>) -> Vec<Metric> {
    let result = run.and_then(|run| run.classes.get(&class));
    let counts = [("count", Better::Neither), ("errors", Better::Lower)];
    // A run without failed requests has zero of them, not none: the next run may have some.
    let none = run.filter(|_| class.is_failure()).map(|_| [0, 0]);
    let counted = result.map(|result| [result.count, result.errors]).or(none);
    // Failing sooner is not an improvement.
    let faster = if class.is_failure() { Better::Neither } else { Better::Lower };
    let mut metrics: Vec<Metric> = counts
        .into_iter()
        .enumerate()
        .map(|(index, (name, better))| {
            let value = counted.and_then(|counted| counted.get(index).copied()).map(float);
            metric(format!("{class}_{name}"), value, "1", better)
        })
        .collect();
    for (latency, percentiles) in [
        ("response", result.map(|result| result.response_us.values())),
        ("service", result.map(|result| result.service_us)),
    ] {
        let Percentiles { p50, p90, p99, p999, max } = percentiles.unwrap_or_default();
        let named = [("p50", p50), ("p90", p90), ("p99", p99), ("p999", p999), ("max", max)];
        metrics.extend(named.map(|(name, value)| {
            metric(format!("{class}_{latency}_{name}_us"), value, "us", faster)
        }));
    }
    metrics
}

fn ratio(part: u64, all: [u64; 3]) -> Option<f64> {
    let all: u64 = all.iter().sum();
    (all > 0).then(|| float(part) / float(all))
}

/// Names of the fields that identify the run.
const ATTRIBUTES: [&str; 8] =
    ["time", "commit", "branch", "version", "scenario", "seed", "host", "run_id"];

/// Returns the values of these fields.
fn attributes(run: &Run, label: &Label) -> [String; ATTRIBUTES.len()] {
    let own = run.build.git_commit.clone();
    [
        run.started_at.clone(),
        label.commit.clone().unwrap_or(own),
        label.branch.clone().unwrap_or_default(),
        run.build.version.clone(),
        run.scenario.clone(),
        run.seed.to_string(),
        run.host.fingerprint.clone(),
        run.run_id.clone(),
    ]
}

/// Entry of the JSON list.
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

/// Writes the known numbers of a run as a JSON list, also for an invalid run. Each entry tells if the
/// run is valid.
///
/// # Errors
/// Returns [`MetricsError::Write`] when the file cannot be written.
pub(crate) fn write_json(run: &Run, label: &Label, path: &Path) -> Result<(), MetricsError> {
    let fields = attributes(run, label);
    let [time, commit, branch, ..] = &fields;
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
            valid: run.validity.is_undisturbed() && run.checks.passed,
        })
        .collect();
    let write = || files::write(path, json(&entries)?.as_bytes());
    write().map_err(|source| MetricsError::Write { path: path.to_owned(), source })
}

/// Appends a run as a row to a CSV file. A new file gets a header.
///
/// # Errors
/// Returns [`MetricsError`] when the file has other columns or cannot be written. Also refuses a run
/// that is invalid, was disturbed or failed its checks, because its numbers say nothing about the target.
pub(crate) fn append_csv(run: &Run, label: &Label, path: &Path) -> Result<(), MetricsError> {
    let unsound = |why| MetricsError::Unsound { path: path.to_owned(), why };
    if !run.checks.passed {
        return Err(unsound("its checks failed"));
    }
    if !run.validity.valid {
        return Err(unsound("it is invalid"));
    }
    if !run.validity.is_undisturbed() {
        return Err(unsound("it was disturbed"));
    }
    let failed = |source| MetricsError::Write { path: path.to_owned(), source };
    // The lock makes runs that end at the same time add their rows one after the other.
    let _lock = files::lock(path).map_err(failed)?;
    let mut text = rows_before(path)?;
    if text.is_empty() {
        text = header();
    }
    // A hand-edited file may lack its last line end.
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&row(run, label));
    files::write(path, text.as_bytes()).map_err(failed)
}

/// Checks that a row can be added to a CSV file.
///
/// # Errors
/// Returns [`MetricsError`] when the file has other columns or cannot be read.
pub(crate) fn check_csv(path: &Path) -> Result<(), MetricsError> {
    rows_before(path).map(drop)
}

/// Returns the contents of a CSV file; empty for a pipe, which is not read.
fn rows_before(path: &Path) -> Result<String, MetricsError> {
    if files::is_direct(path) {
        return Ok(String::new());
    }
    let before = match files::read_text(path, SERIES_BYTES_MAX) {
        Err(error) if error.is_missing() => String::new(),
        read => read?,
    };
    let fits = before.lines().next().is_none_or(|first| format!("{first}\n") == header());
    if fits { Ok(before) } else { Err(MetricsError::Columns(path.to_owned())) }
}

fn header() -> String {
    let names = ATTRIBUTES.map(str::to_owned).into_iter();
    let names = names.chain(of_any(None).into_iter().map(|metric| metric.name));
    format!("{}\n", names.collect::<Vec<_>>().join(","))
}

fn row(run: &Run, label: &Label) -> String {
    let values = attributes(run, label).into_iter().map(|value| quoted(&value));
    let numbers = of(run).into_iter().map(|m| m.value.map_or(String::new(), |v| v.to_string()));
    format!("{}\n", values.chain(numbers).collect::<Vec<_>>().join(","))
}

/// Quotes a cell as in RFC 4180 section 2.
fn quoted(text: &str) -> String {
    let text = &name(text);
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::harness::report::stored::read_run;

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
        assert_eq!(Some(cell), run.classes[&Class::Hit].response_us.values().p99);
        let second: Vec<&str> = lines[2].split(',').collect();
        assert_eq!(second.len(), header.len());
        // No failed requests is the number zero; no answers of a class that the run does not have is no
        // number.
        let at = |name: &str| second[header.iter().position(|column| *column == name).unwrap()];
        assert_eq!([at("error_count"), at("throttled_errors"), at("hit_count")], ["0", "0", ""]);
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
        assert_eq!(p99["value"].as_f64(), run.classes[&Class::Hit].response_us.values().p99);
        assert_eq!(
            (&p99["unit"], &p99["better"], &p99["valid"]),
            (&"us".into(), &"lower".into(), &false.into())
        );
        assert!(list.iter().all(|entry| !entry["name"].as_str().unwrap().starts_with("coalesced")));
    }
}
