//! Compares two results: ratios, with intervals where the runs support them.

use std::path::Path;

use hdrhistogram::Histogram;

use super::stored::digest::{Digest, Latency};
use super::stored::{StoredError, read_run};
use super::text::layout::grid;
use crate::base::clock::{readable_us, us};
use crate::harness::class::Class;
use crate::harness::document::compare::{Compared, Comparison, Ratio, SCHEMA, Summary};
use crate::harness::document::run::Run;
use crate::harness::document::run::validity::Validity;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::quantile_interval;
use crate::harness::stats::ratio::{Estimate, ratio_interval};

/// Caveat of every comparison of two runs.
pub(crate) const APART: &str = "The two runs were made apart from each other: what the machine did between them is part of every ratio, and no interval here knows of it. `mintbench gate` interleaves the two sides, so that they share it.";

/// Percentiles that are compared.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Result folder with the figures drawn from it.
#[derive(Debug)]
pub(crate) struct Side {
    /// Name of the folder, as the user gave it.
    pub(crate) folder: String,
    /// Contents of `run.json`; none if the run did not end.
    pub(crate) run: Option<Run>,
    /// Digest of its logs.
    pub(crate) digest: Digest,
}

impl Side {
    /// Reads a result folder.
    ///
    /// # Errors
    /// Returns [`StoredError`], which names the file and its fault.
    pub(crate) fn read(folder: &Path) -> Result<Self, StoredError> {
        let (run, digest) = (read_run(folder)?, Digest::read(folder)?);
        Ok(Self { folder: folder.display().to_string(), run, digest })
    }
}

impl Ratio {
    fn of(a: Option<f64>, b: Option<f64>) -> Self {
        let ratio = a.zip(b).and_then(|(a, b)| (a > 0.0).then_some(b / a));
        Self { a, b, ratio, interval: None }
    }
}

impl Comparison {
    /// Compares `b` with `a`.
    pub(crate) fn new(a: &Side, b: &Side) -> Self {
        let mut classes = a.digest.classes();
        classes.extend(b.digest.classes());
        let cpu = |side: &Side| side.run.as_ref()?.broker.as_ref()?.cpu_us_per_request;
        let print = |side: &Side| side.run.as_ref().map(|run| run.host.fingerprint.clone());
        Self {
            schema: SCHEMA.to_owned(),
            a: Summary::of(a),
            b: Summary::of(b),
            same_machine: print(a).is_some() && print(a) == print(b),
            warnings: warnings(a, b),
            classes: classes.into_iter().map(|class| (class, Compared::new(a, b, class))).collect(),
            cpu_us_per_request: Ratio::of(cpu(a), cpu(b)),
        }
    }

    /// Returns true if both runs ended and are valid.
    pub(crate) fn is_sound(&self) -> bool {
        [&self.a, &self.b].iter().all(|side| side.valid == Some(true))
    }

    /// Formats the comparison for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            let when = side.started_at.as_deref().unwrap_or("unfinished");
            lines.push(format!("{name}  {}  {when}  {}", side.folder, side.verdict()));
        }
        lines.push(format!("\n{}", self.table()));
        lines.extend(self.warnings.iter().map(|warning| format!("warning   {warning}")));
        lines.push(format!("note      {APART}\n"));
        lines.join("\n")
    }

    fn table(&self) -> String {
        let head = ["class", "", "A", "B", "B/A", "95 % interval"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (class, of) in &self.classes {
            let [a, b] = of.count.map(|count| Some(float(count)));
            let count = Ratio { a, b, ..Ratio::default() };
            rows.push(row([class.as_str(), "count"], count, |count| format!("{count:.0}")));
            for (latency, ratios) in [("response", &of.response_us), ("service", &of.service_us)] {
                for (percentile, _) in QUANTILES {
                    let ratio = ratios.get(percentile).copied().unwrap_or_default();
                    rows.push(row(["", &format!("{latency} {percentile}")], ratio, readable_us));
                }
            }
        }
        if self.cpu_us_per_request != Ratio::default() {
            let names = ["broker", "CPU per request"];
            rows.push(row(names, self.cpu_us_per_request, readable_us));
        }
        grid(2, &rows)
    }
}

fn row(names: [&str; 2], ratio: Ratio, shown: impl Fn(f64) -> String) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let interval = ratio.interval.map(|[low, high]| format!("{low:.3} - {high:.3}"));
    let of_b = ratio.ratio.map(|ratio| format!("{ratio:.3}"));
    let [a, b] = [ratio.a, ratio.b].map(|value| or_dash(value.map(&shown)));
    [names.map(str::to_owned).to_vec(), vec![a, b, or_dash(of_b), or_dash(interval)]].concat()
}

impl Summary {
    fn of(side: &Side) -> Self {
        let run = side.run.as_ref();
        Self {
            folder: side.folder.clone(),
            run_id: run.map(|run| run.run_id.clone()),
            started_at: run.map(|run| run.started_at.clone()),
            git_commit: run.map(|run| run.build.git_commit.clone()),
            valid: run.map(|run| run.validity.is_undisturbed()),
            reasons: run.map(|run| run.validity.faults()).unwrap_or_default(),
        }
    }

    /// Returns the validity of the run in one word.
    pub(crate) const fn verdict(&self) -> &'static str {
        match self.valid {
            Some(true) => "valid",
            Some(false) => "INVALID",
            None => "UNFINISHED",
        }
    }
}

impl Compared {
    fn new(a: &Side, b: &Side, class: Class) -> Self {
        let count = |side: &Side| side.digest.response.whole.get(&class).map_or(0, Histogram::len);
        let named = |latency| {
            let ratio = |(name, p): (&str, f64)| {
                (name.to_owned(), quantile_ratio([a, b], class, latency, p))
            };
            QUANTILES.into_iter().map(ratio).collect()
        };
        let [response_us, service_us] = [Latency::Response, Latency::Service].map(named);
        Self { count: [count(a), count(b)], response_us, service_us }
    }
}

/// Returns the ratio of one percentile of one latency of a class.
pub(super) fn quantile_ratio(sides: [&Side; 2], class: Class, latency: Latency, p: f64) -> Ratio {
    let estimates = sides.map(|side| {
        let series = side.digest.series(latency);
        let histogram = series.whole.get(&class)?;
        let value = us(histogram.value_at_quantile(p));
        let interval = quantile_interval(series.blocks.of(class), p).ok();
        Some((value, interval.map(|(low, high)| Estimate { low: us(low), value, high: us(high) })))
    });
    let [a, b] = estimates;
    let interval = a.and_then(|(_, a)| a).zip(b.and_then(|(_, b)| b));
    let interval = interval.and_then(|(a, b)| ratio_interval(a, b)).map(|(low, high)| [low, high]);
    Ratio { interval, ..Ratio::of(a.map(|(value, _)| value), b.map(|(value, _)| value)) }
}

/// Returns the differences between the two runs that should not exist, and the faults of each.
fn warnings(a: &Side, b: &Side) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, side) in [("A", a), ("B", b)] {
        match &side.run {
            None => warnings.push(format!("{name} did not end: nothing was judged")),
            Some(run) => warnings.extend(faults(name, &run.validity)),
        }
        let failures = side.run.iter().flat_map(|run| &run.checks.failures);
        warnings.extend(failures.map(|failure| format!("{name} failed a check: {failure}")));
    }
    let Some((a, b)) = a.run.as_ref().zip(b.run.as_ref()) else { return warnings };
    warnings.extend(differences(a, b));
    warnings
}

fn faults(name: &str, validity: &Validity) -> Vec<String> {
    let Validity { reasons, disturbances, .. } = validity;
    let invalid = reasons.iter().map(|why| format!("{name} is invalid: {why}"));
    let disturbed = disturbances.iter().map(|why| format!("{name} was disturbed: {why}"));
    invalid.chain(disturbed).collect()
}

fn differences(a: &Run, b: &Run) -> Vec<String> {
    let rate =
        |run: &Run| run.load.rate_target.map_or("bursts".to_owned(), |rate| rate.to_string());
    let pairs = [
        ("machine", a.host.fingerprint.clone(), b.host.fingerprint.clone()),
        ("scenario", a.scenario.clone(), b.scenario.clone()),
        ("seed", a.seed.to_string(), b.seed.to_string()),
        ("rate", rate(a), rate(b)),
        ("kind of arrivals", a.load.arrivals.clone(), b.load.arrivals.clone()),
        ("duration in seconds", a.load.duration_s.to_string(), b.load.duration_s.to_string()),
        ("number of VMs", a.load.vms.to_string(), b.load.vms.to_string()),
        ("number of connections", a.load.connections.to_string(), b.load.connections.to_string()),
        ("profile of the build", a.build.profile.clone(), b.build.profile.clone()),
    ];
    let differing = pairs.into_iter().filter(|(_, a, b)| a != b);
    differing.map(|(what, a, b)| format!("the {what} differs: {a} and {b}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str) -> Side {
        Side::read(&Path::new("results/reference").join(name)).unwrap()
    }

    #[test]
    fn a_run_compared_with_itself_has_ratios_of_one_within_their_intervals() {
        let churn = side("churn");
        let comparison = Comparison::new(&churn, &churn);
        assert!(comparison.same_machine);
        let hit = &comparison.classes[&Class::Hit];
        let p99 = hit.response_us["p99"];
        assert_eq!(p99.ratio, Some(1.0));
        let [low, high] = p99.interval.unwrap();
        assert!(low < 1.0 && 1.0 < high);
        assert!((low * high - 1.0).abs() < 1e-9);
        let run = churn.run.as_ref().unwrap();
        assert_eq!(p99.a, run.classes[&Class::Hit].response_us.values().p99);
        assert_eq!(hit.count, [run.classes[&Class::Hit].count; 2]);
    }

    #[test]
    fn what_differs_is_said_and_classes_of_one_side_only_are_shown() {
        let (a, b) = (side("churn"), side("herd"));
        let comparison = Comparison::new(&a, &b);
        let all = comparison.warnings.join("\n");
        for part in
            ["the scenario differs: churn and herd", "the rate differs", "the machine differs"]
        {
            assert!(all.contains(part), "{all}");
        }
        assert!(!comparison.same_machine);
        let coalesced = &comparison.classes[&Class::Coalesced];
        assert_eq!((coalesced.count[0], coalesced.response_us["p50"].ratio), (0, None));
        let text = comparison.text();
        assert!(
            text.contains("service p99.9") && text.contains("`mintbench gate` interleaves"),
            "{text}"
        );
    }
}
