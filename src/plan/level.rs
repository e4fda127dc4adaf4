//! One level of load and what came of it.

use hdrhistogram::Histogram;

use std::collections::BTreeMap;

use crate::document::run::Run;
use crate::load::class::Class;
use crate::load::recorder::histogram;
use crate::load::session::Outcome;
use crate::load::validity::Reason;
use crate::report::slo::{Answers, Objective};
use crate::report::stored::Stored;
use crate::stats::intervals::{Counts, interval_of_blocks};

/// What was measured at one rate. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub struct Level {
    /// Requests per second that were meant.
    pub offered: f64,
    /// Answers per second.
    pub answered: f64,
    /// The percentile of the objective; none when errors or a want of answers leave none.
    pub quantile_ns: Option<f64>,
    /// Its upper bound: of the 95 % interval, or else of the worst second.
    pub upper_ns: Option<f64>,
    /// Median response.
    pub p50_ns: f64,
    /// 99th percentile of the response.
    pub p99_ns: f64,
    /// Mean response.
    pub mean_ns: f64,
    /// The share of requests that ended without a token.
    pub errors: f64,
    /// The queue grew from second to second: the level has no percentile, it has a length.
    pub growing: bool,
    /// Why the generator was the limit, if it was.
    pub generator: Option<String>,
    /// What the host did to the numbers.
    pub noise: Vec<String>,
    /// Processor time of the broker for each request, in microseconds.
    pub cpu_us: Option<f64>,
    /// The share of requests that were minted for.
    pub misses: Option<f64>,
    /// Memory of the broker at the end, in bytes, and the tokens minted until then.
    pub memory: Option<Memory>,
    /// From the write to the answer, in nanoseconds.
    pub service: Histogram<u64>,
}

/// How much the broker held, and in how much memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Anonymous, in bytes.
    pub bytes: f64,
    /// Tokens minted since it started.
    pub tokens: f64,
}

/// What a level says about the objective.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The upper bound is within it.
    Met,
    /// It is not, or nothing can be said.
    Missed(Cause),
}

/// Why a level does not count as capacity.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
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

/// A broker that is asked for no more than it can give answers all but a few.
const ERRORS_MAX: f64 = 0.001;
/// A Poisson stream of a second at 50 per second varies by more than a tenth in one level of six, and
/// such a level is idle, which is seen by its processor time.
const ANSWERED_MIN: f64 = 0.9;
/// A core is full from here on; the rest is interrupts that no process is charged for.
const BUSY_MIN: f64 = 0.85;
/// Blocks of a second: a level is short.
const BLOCKS_MIN: usize = 5;

impl Level {
    /// Judges the level by a limit of its percentile, in nanoseconds.
    ///
    /// A generator that could not keep up comes first: what follows from it says nothing about the
    /// broker.
    pub fn verdict(&self, limit_ns: f64) -> Verdict {
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

    /// Whether the broker was asked for more than it could do: the rest was left over, and its core
    /// was full. How late the generator was is then no matter.
    pub fn is_overrun(&self) -> bool {
        let busy = match self.cpu_us {
            Some(cpu_us) => cpu_us * self.answered / 1e6 > BUSY_MIN,
            None => self.generator.is_none() && !self.is_given_up(),
        };
        self.is_left_over() && busy
    }

    /// Whether it was ended before its end: all that is known is what was answered in its last seconds
    /// of what was asked for in them.
    pub const fn is_given_up(&self) -> bool {
        self.growing && self.quantile_ns.is_none()
    }

    /// Whether more was asked for than was answered in time, whoever was at its limit.
    pub fn is_left_over(&self) -> bool {
        self.growing || self.errors > ERRORS_MAX || self.answered < ANSWERED_MIN * self.offered
    }

    /// The requests in the system, by Little's law.
    pub fn concurrency(&self) -> f64 {
        self.answered * self.mean_ns / 1e9
    }

    /// The level of a result folder.
    pub fn of_stored(stored: &Stored, run: &Run, slo: &Objective) -> Self {
        let mut seconds: BTreeMap<u64, Counts> = BTreeMap::new();
        for class in good_of(stored) {
            for (second, counts) in stored.response.seconds(class) {
                seconds.entry(second).or_default().extend(counts);
            }
        }
        let seconds: Vec<Counts> = seconds.into_values().collect();
        let response = filled(seconds.iter().flatten());
        let good = stored.service.intervals.iter().filter(|i| !i.class.is_failure());
        let service = filled(good.flat_map(|i| &i.counts));
        let lag = filled(stored.lag.intervals.iter().flat_map(|i| &i.counts));
        let failed: u64 = run.classes.values().map(|class| class.errors).sum();
        let p = |quantile| float(response.value_at_quantile(quantile));
        let answers = Answers { response: response.clone(), failed };
        let quantile_ns = slo.of(&answers).map(float);
        let (generator, noise) = blame_stored(run, &lag, slo);
        Self {
            offered: run.load.rate_target.unwrap_or(run.load.rate_answered),
            answered: run.load.rate_answered,
            upper_ns: quantile_ns.map(|ns| ns.max(upper(&seconds, slo.quantile()))),
            quantile_ns,
            p50_ns: p(0.5),
            p99_ns: p(0.99),
            mean_ns: response.mean(),
            errors: share(failed, answers.count()),
            growing: is_growing(&seconds, slo.limit_ns()),
            generator,
            noise,
            cpu_us: run.broker.as_ref().and_then(|broker| broker.cpu_us_per_request),
            misses: None,
            memory: None,
            service,
        }
    }

    /// The level that a session measured.
    pub fn of(outcome: &Outcome, offered: f64, slo: &Objective) -> Self {
        let good = &outcome.good;
        let p = |quantile| float(good.response.value_at_quantile(quantile));
        let failed = outcome.measured.totals.whole.failed();
        let quantile_ns = slo.of(&Answers { response: good.response.clone(), failed }).map(float);
        let seconds = seconds(outcome);
        let errors = share(failed, outcome.all.response.len());
        let counted = outcome.broker.as_ref();
        let counters = counted.and_then(|counted| counted.measured);
        let (generator, noise) = blame(outcome, slo);
        Self {
            offered,
            answered: outcome.rate_answered,
            upper_ns: quantile_ns.map(|ns| ns.max(upper(&seconds, slo.quantile()))),
            quantile_ns,
            p50_ns: p(0.5),
            p99_ns: p(0.99),
            mean_ns: good.response.mean(),
            errors,
            growing: is_growing(&seconds, slo.limit_ns()),
            generator,
            noise,
            cpu_us: counters.and_then(|counters| counters.cpu_us_per_request()),
            misses: counters.and_then(|counters| counters.mint_ratio()),
            memory: counted.and_then(|counted| {
                let bytes = float(counted.anonymous_bytes?);
                Some(Memory { bytes, tokens: counted.whole.mints })
            }),
            service: good.service.clone(),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    float(part) / float(whole.max(1))
}

/// The classes of a stored result whose requests did not fail.
fn good_of(stored: &Stored) -> impl Iterator<Item = Class> {
    stored.response.classes().into_iter().filter(|class| !class.is_failure())
}

/// Response times second by second, all good answers together.
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

/// A histogram of counts.
pub fn filled<'a>(counts: impl Iterator<Item = &'a (u64, u64)>) -> Histogram<u64> {
    let mut filled = histogram();
    for (value, times) in counts {
        filled.saturating_record_n(*value, *times);
    }
    filled
}

/// The upper end of the interval of a percentile; the worst second where there is no interval.
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

/// Whether the median rose from each second to the next, over four of them, and ended far beyond
/// the limit: a queue that is served as fast as it is filled does not do that.
pub fn is_growing(seconds: &[Counts], limit_ns: f64) -> bool {
    let medians: Vec<f64> = seconds
        .iter()
        .filter(|second| !second.is_empty())
        .map(|second| quantile_of(second, 0.5))
        .collect();
    let last = medians.iter().rev().take(GROWING_SECONDS);
    medians.len() >= GROWING_SECONDS
        && last.clone().zip(last.skip(1)).all(|(later, earlier)| later > earlier)
        && medians.last().is_some_and(|median| *median > HOPELESS * limit_ns)
}

/// Seconds on end in which the median rises before a level is given up.
pub const GROWING_SECONDS: usize = 4;
/// A median so many times the limit does not come back within a level.
const HOPELESS: f64 = 10.0;

/// Tells what the generator could not do from what the host did to it.
///
/// A thread without time to spare, a rate that was missed and requests left over are limits of the
/// generator. Lateness of a thread that had time is the host's doing; it is a limit only where it
/// alone could make the objective fail.
fn blame(outcome: &Outcome, slo: &Objective) -> (Option<String>, Vec<String>) {
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
            _ => noise.push(reason.to_string()),
        }
    }
    if limits.is_empty() {
        limits.extend(too_late(&outcome.all.lag, slo));
    }
    let limits = (!limits.is_empty()).then(|| limits.join("; "));
    (limits, noise)
}

/// The same rules on what a folder says.
fn blame_stored(run: &Run, lag: &Histogram<u64>, slo: &Objective) -> (Option<String>, Vec<String>) {
    let busy = run.validity.generator_cpu_share;
    let missed = run.load.rate_achieved.zip(run.load.rate_target);
    let limit = if busy > BUSY_MAX {
        Some(format!("a generator thread was busy {:.0} % of the time", busy * 100.0))
    } else if run.validity.unsent > 0 {
        Some(format!("it did not get to {} requests", run.validity.unsent))
    } else if missed.is_some_and(|(achieved, target)| achieved < RATE_MIN * target) {
        Some(format!("it acted on {:.1} requests per second only", run.load.rate_answered))
    } else {
        too_late(lag, slo)
    };
    let noise = if limit.is_some() { Vec::new() } else { run.validity.reasons.clone() };
    (limit, noise)
}

/// Whether lateness of the generator alone could make the objective fail.
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

/// As in the rules of a valid run.
const BUSY_MAX: f64 = 0.8;
/// Five per cent below the target is more than a Poisson stream of a few seconds varies.
const RATE_MIN: f64 = 0.95;

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
pub(crate) mod tests {
    use super::*;

    /// A level without a fault, of these response times.
    pub(crate) fn level(rate: f64, upper_ns: f64) -> Level {
        Level {
            offered: rate,
            answered: rate,
            quantile_ns: Some(upper_ns),
            upper_ns: Some(upper_ns),
            p50_ns: upper_ns / 4.0,
            p99_ns: upper_ns,
            mean_ns: upper_ns / 3.0,
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
