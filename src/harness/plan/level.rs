//! One level of load and its results.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::harness::class::Class;
use crate::harness::document::run::Run;
use crate::harness::judge::objective::Answers;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::validity::Reason;
use crate::harness::judge::validity::limits::BUSY_MAX;
use crate::harness::record::intervals::histogram;
use crate::harness::report::stored::Stored;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::{Counts, interval_of_blocks};

/// Results measured at one rate. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    /// Scheduled requests per second.
    pub(crate) offered: f64,
    /// Answers per second.
    pub(crate) answered: f64,
    /// Percentile of the objective; none if errors or too few answers leave it undefined.
    pub(crate) quantile_ns: Option<f64>,
    /// Upper bound of the percentile: the end of the 95 % interval, or else the worst second.
    pub(crate) upper_ns: Option<f64>,
    /// Median response time.
    pub(crate) p50_ns: f64,
    /// 99th percentile of the response time.
    pub(crate) p99_ns: f64,
    /// Mean response time.
    pub(crate) mean_ns: f64,
    /// Share of requests that ended without a token.
    pub(crate) errors: f64,
    /// True if the queue grew from second to second. The percentile then depends only on the length of
    /// the level.
    pub(crate) growing: bool,
    /// Reason why the generator was the limit, if it was.
    pub(crate) generator: Option<String>,
    /// Disturbances of the results by the host.
    pub(crate) noise: Vec<String>,
    /// Processor time of the broker for each request, in microseconds.
    pub(crate) cpu_us: Option<f64>,
    /// Share of requests that needed a mint.
    pub(crate) misses: Option<f64>,
    /// Memory of the broker at the end of the level.
    pub(crate) memory: Option<Memory>,
    /// Service times from the write to the answer, in nanoseconds.
    pub(crate) service: Histogram<u64>,
}

/// Memory of a broker and the tokens that it minted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Anonymous memory in bytes.
    pub(crate) bytes: f64,
    /// Tokens minted since the broker started.
    pub(crate) tokens: f64,
}

/// Verdict of a level on the objective.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The upper bound is within the objective.
    Met,
    /// The upper bound is beyond the objective, or the level proves nothing.
    Missed(Cause),
}

/// Reasons why a level does not count as capacity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cause {
    /// Requests ended without a token.
    Errors(f64),
    /// The generator was the limit.
    Generator(String),
    /// The queue grew without end.
    Growing,
    /// The upper bound is beyond the objective.
    Slo,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Errors(share) => {
                write!(f, "{:.2} % of the requests ended without a token", share * 100.0)
            }
            Self::Generator(why) => write!(f, "the generator is the limit: {why}"),
            Self::Growing => f.write_str("the queue grew without end"),
            Self::Slo => f.write_str("the percentile is beyond the objective"),
        }
    }
}

/// Maximum share of errors. Below saturation, a broker answers all but a few requests.
const ERRORS_MAX: f64 = 0.001;
/// Minimum share of the offered rate that must be answered. A level of a second at 50 per second falls
/// below it by chance in one case of five. Such a level leaves the core idle, which its processor time
/// shows.
const ANSWERED_MIN: f64 = 0.9;
/// Share of its time above which a core is full. The rest is interrupts that no process is charged for.
const BUSY_MIN: f64 = 0.85;
/// Minimum number of one-second blocks for an interval, because levels are short.
const BLOCKS_MIN: usize = 5;

impl Level {
    /// Judges the level by a limit of its percentile, in nanoseconds.
    ///
    /// A generator that could not keep up is checked first: the other results of such a level say
    /// nothing about the broker.
    pub(crate) fn verdict(&self, limit_ns: f64) -> Verdict {
        if let Some(why) = &self.generator {
            return Verdict::Missed(Cause::Generator(why.clone()));
        }
        if self.growing {
            return Verdict::Missed(Cause::Growing);
        }
        if self.errors > ERRORS_MAX {
            return Verdict::Missed(Cause::Errors(self.errors));
        }
        match self.upper_ns {
            Some(upper) if upper <= limit_ns => Verdict::Met,
            _ => Verdict::Missed(Cause::Slo),
        }
    }

    /// Returns true if the load exceeded the capacity of the broker: requests were left over and its
    /// core was full. The lateness of the generator does not matter then.
    pub(crate) fn is_overrun(&self) -> bool {
        let busy = match self.cpu_us {
            Some(cpu_us) => cpu_us * self.answered / 1e6 > BUSY_MIN,
            None => self.generator.is_none() && !self.is_given_up(),
        };
        self.is_left_over() && busy
    }

    /// Returns true if the level was stopped early because its queue grew. Its only results are the
    /// requests and answers of its last seconds.
    pub(crate) const fn is_given_up(&self) -> bool {
        self.growing && self.quantile_ns.is_none()
    }

    /// Returns true if more was requested than answered in time, whatever the limit was.
    pub(crate) fn is_left_over(&self) -> bool {
        self.growing || self.errors > ERRORS_MAX || self.answered < ANSWERED_MIN * self.offered
    }

    /// Returns the number of requests in the system, by Little's law.
    pub(crate) fn concurrency(&self) -> f64 {
        self.answered * self.mean_ns / 1e9
    }

    /// Reads the level from a result folder.
    pub(crate) fn of_stored(stored: &Stored, run: &Run, slo: &Objective) -> Self {
        let mut seconds: BTreeMap<u64, Counts> = BTreeMap::new();
        for class in good_of(stored) {
            for (second, counts) in stored.response.seconds(class) {
                seconds.entry(second).or_default().extend(counts);
            }
        }
        let seconds: Vec<Counts> = seconds.into_values().collect();
        let response = filled(seconds.iter().flatten());
        let good = stored.service.intervals.iter().filter(|i| !i.class.is_failure());
        let lag = filled(stored.lag.intervals.iter().flat_map(|i| &i.counts));
        let failed = run.classes.values().map(|class| class.errors).sum();
        let (generator, noise) = faults_of_stored(run, &lag, slo);
        Self {
            offered: run.load.rate_target.unwrap_or(run.load.rate_answered),
            answered: run.load.rate_answered,
            generator,
            noise,
            cpu_us: run.broker.as_ref().and_then(|broker| broker.cpu_us_per_request),
            service: filled(good.flat_map(|i| &i.counts)),
            ..Self::of_answers(&Answers { response, failed }, &seconds, slo)
        }
    }

    /// Extracts the level from the outcome of a session.
    pub(crate) fn of(outcome: &Outcome, offered: f64, slo: &Objective) -> Self {
        let failed = outcome.measured.totals.whole.failed();
        let answers = Answers { response: outcome.good.response.clone(), failed };
        let counted = outcome.broker.as_ref();
        let counters = counted.and_then(|counted| counted.measured);
        let (generator, noise) = faults(outcome, slo);
        Self {
            offered,
            answered: outcome.rate_answered,
            generator,
            noise,
            cpu_us: counters.and_then(|counters| counters.cpu_us_per_request()),
            misses: counters.and_then(|counters| counters.mint_ratio()),
            memory: counted.and_then(|counted| {
                let bytes = float(counted.anonymous_bytes?);
                Some(Memory { bytes, tokens: counted.whole.mints })
            }),
            service: outcome.good.service.clone(),
            ..Self::of_answers(&answers, &seconds(outcome), slo)
        }
    }

    /// Returns a level with the figures that follow from the answers. The other fields are empty.
    fn of_answers(answers: &Answers, seconds: &[Counts], slo: &Objective) -> Self {
        let response = &answers.response;
        let p = |quantile| float(response.value_at_quantile(quantile));
        let quantile_ns = answers.at_quantile(slo.quantile()).map(float);
        Self {
            upper_ns: quantile_ns.map(|ns| ns.max(upper(seconds, slo.quantile()))),
            quantile_ns,
            p50_ns: p(0.5),
            p99_ns: p(0.99),
            mean_ns: response.mean(),
            errors: share(answers.failed, answers.count()),
            growing: is_growing(seconds, slo.limit_ns()),
            ..Self::empty()
        }
    }

    /// Returns a level without results.
    fn empty() -> Self {
        Self {
            offered: 0.0,
            answered: 0.0,
            quantile_ns: None,
            upper_ns: None,
            p50_ns: 0.0,
            p99_ns: 0.0,
            mean_ns: 0.0,
            errors: 0.0,
            growing: false,
            generator: None,
            noise: Vec::new(),
            cpu_us: None,
            misses: None,
            memory: None,
            service: histogram(),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    float(part) / float(whole.max(1))
}

/// Returns the classes of a stored result whose requests did not fail.
fn good_of(stored: &Stored) -> impl Iterator<Item = Class> {
    stored.response.classes().into_iter().filter(|class| !class.is_failure())
}

/// Returns the response times for each second, all good answers together.
fn seconds(outcome: &Outcome) -> Vec<Counts> {
    let mut seconds: Vec<Counts> = Vec::new();
    for (class, _) in outcome.measured.totals.whole.good() {
        merge(&mut seconds, outcome.measured.totals.responses.of(class));
    }
    seconds
}

fn merge(seconds: &mut Vec<Counts>, of_class: &[Counts]) {
    if seconds.len() < of_class.len() {
        seconds.resize(of_class.len(), Counts::new());
    }
    for (second, counts) in seconds.iter_mut().zip(of_class) {
        second.extend_from_slice(counts);
    }
}

/// Returns a histogram of counts.
pub(crate) fn filled<'a>(counts: impl Iterator<Item = &'a (u64, u64)>) -> Histogram<u64> {
    let mut filled = histogram();
    for (value, times) in counts {
        filled.saturating_record_n(*value, *times);
    }
    filled
}

/// Returns the upper end of the interval of a percentile, or the worst second if there is no interval.
pub(super) fn upper(seconds: &[Counts], quantile: f64) -> f64 {
    let interval = interval_of_blocks(seconds, quantile, BLOCKS_MIN);
    interval.map_or_else(
        |_| seconds.iter().map(|second| quantile_of(second, quantile)).fold(0.0, f64::max),
        |(_, high)| float(high),
    )
}

fn quantile_of(counts: &Counts, quantile: f64) -> f64 {
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let total: u64 = sorted.iter().map(|(_, times)| times).sum();
    let mut seen = 0;
    let found = sorted.iter().find(|(_, times)| {
        seen += times;
        float(seen) >= quantile * float(total)
    });
    found.or(sorted.last()).map_or(0.0, |(value, _)| float(*value))
}

/// Returns true if the median rose in each of the last four seconds and ended far beyond the limit. A
/// queue that is served as fast as it is filled does not do that.
pub(crate) fn is_growing(seconds: &[Counts], limit_ns: f64) -> bool {
    let medians: Vec<f64> = seconds
        .iter()
        .filter(|second| !second.is_empty())
        .map(|second| quantile_of(second, 0.5))
        .collect();
    let last = medians.iter().rev().take(GROWING_SECONDS);
    medians.len() >= GROWING_SECONDS
        && last.clone().zip(last.skip(1)).all(|(later, earlier)| later > earlier)
        && medians.last().is_some_and(|median| *median > UNRECOVERABLE * limit_ns)
}

/// Number of consecutive seconds with a rising median after which a level is given up.
pub(crate) const GROWING_SECONDS: usize = 4;
/// Multiple of the limit from which a median does not recover within a level.
const UNRECOVERABLE: f64 = 10.0;

/// Separates limits of the generator from disturbances by the host.
///
/// A busy thread, a missed rate and unsent requests are limits of the generator. A thread that was late
/// although it had time was disturbed by the host. This lateness counts as a limit only if it alone
/// could make the objective fail.
fn faults(outcome: &Outcome, slo: &Objective) -> (Option<String>, Vec<String>) {
    let mut limits = Vec::new();
    let mut noise = Vec::new();
    for reason in &outcome.reasons {
        match reason {
            Reason::Busy { .. }
            | Reason::Impeded { .. }
            | Reason::Rate { .. }
            | Reason::Unsent { .. } => {
                limits.push(reason.to_string());
            }
            Reason::Burst { .. }
            | Reason::Gaps(_)
            | Reason::HitRatio(_)
            | Reason::Hiccup { .. }
            | Reason::Interrupted(_)
            | Reason::Lag { .. }
            | Reason::LagTail { .. }
            | Reason::Median { .. }
            | Reason::NoRequests
            | Reason::Notice { .. }
            | Reason::NoticeTail { .. }
            | Reason::Paging { .. }
            | Reason::Steal { .. }
            | Reason::Throttled { .. }
            | Reason::Unsteady(_) => noise.push(reason.to_string()),
        }
    }
    if limits.is_empty() {
        limits.extend(too_late(&outcome.all.lag, slo));
    }
    let limits = (!limits.is_empty()).then(|| limits.join("; "));
    (limits, noise)
}

/// Applies the same rules to a stored run.
fn faults_of_stored(
    run: &Run,
    lag: &Histogram<u64>,
    slo: &Objective,
) -> (Option<String>, Vec<String>) {
    let busy = run.validity.generator_cpu_share;
    let missed = run.load.rate_achieved.zip(run.load.rate_target);
    let limit = if busy > BUSY_MAX {
        Some(format!("a generator thread was busy {:.0} % of the time", busy * 100.0))
    } else if run.validity.unsent > 0 {
        Some(format!("it did not get to {} requests", run.validity.unsent))
    } else if let Some((achieved, _)) = missed.filter(|(of, target)| *of < RATE_MIN * *target) {
        Some(format!("it acted on {achieved:.1} requests per second only"))
    } else {
        too_late(lag, slo)
    };
    let noise = if limit.is_some() { Vec::new() } else { run.validity.faults() };
    (limit, noise)
}

/// Returns a reason if lateness of the generator alone could make the objective fail.
fn too_late(lag: &Histogram<u64>, slo: &Objective) -> Option<String> {
    let late = float(lag.value_at_quantile(slo.quantile()));
    (late > slo.limit_ns() / 2.0).then(|| {
        format!(
            "it was {:.1} us late at the p{} itself, more than half of the limit",
            late / 1e3,
            slo.quantile() * 100.0
        )
    })
}

/// Minimum share of the target rate. A Poisson stream of a few seconds varies by less than 5 %.
const RATE_MIN: f64 = 0.95;

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
pub(crate) mod tests {
    use super::*;

    /// Returns a level without faults that has these response times.
    pub(crate) fn level(rate: f64, upper_ns: f64) -> Level {
        Level {
            offered: rate,
            answered: rate,
            quantile_ns: Some(upper_ns),
            upper_ns: Some(upper_ns),
            p50_ns: upper_ns / 4.0,
            p99_ns: upper_ns,
            mean_ns: upper_ns / 3.0,
            ..Level::empty()
        }
    }

    #[test]
    fn the_generator_is_blamed_before_the_broker() {
        let good = level(100.0, 1e6);
        assert_eq!(good.verdict(1e6), Verdict::Met);
        assert_eq!(good.verdict(9e5), Verdict::Missed(Cause::Slo));
        let errors = Level { errors: 0.01, ..good.clone() };
        assert_eq!(errors.verdict(1e6), Verdict::Missed(Cause::Errors(0.01)));
        let limited = Level { generator: Some("busy".to_owned()), ..errors };
        assert_eq!(limited.verdict(1e6), Verdict::Missed(Cause::Generator("busy".to_owned())));
        assert_eq!(limited.concurrency(), 100.0 * 1e6 / 3.0 / 1e9);
    }

    #[test]
    fn only_a_median_that_rises_throughout_and_far_is_a_growing_queue() {
        let second = |ns: u64| vec![(ns, 10)];
        let growing: Vec<Counts> = (1..=5).map(|i| second(i * 10_000_000)).collect();
        assert!(is_growing(&growing, 2e6));
        assert!(!is_growing(&growing, 5e6), "not far beyond the limit");
        assert!(!is_growing(&growing[..2], 2e6), "too short to tell");
        let steady = vec![second(50_000_000); 5];
        assert!(!is_growing(&steady, 2e6));
    }

    #[test]
    fn without_an_interval_the_worst_second_is_the_bound() {
        let seconds = vec![vec![(100, 1000)], vec![(300, 1000)], vec![(200, 1000)]];
        assert_eq!(upper(&seconds, 0.99), 300.0);
        let mut many: Vec<Counts> = vec![vec![(100, 985), (200, 15)]; 7];
        many.push(vec![(100, 985), (200, 4), (300, 11)]);
        assert_eq!(upper(&many, 0.99), 200.0, "an interval looks at all seconds");
    }
}
