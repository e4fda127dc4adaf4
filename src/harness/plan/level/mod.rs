//! One level of load and its results.

mod faults;
mod spread;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use self::faults::Faults;
pub(crate) use self::spread::{GROWING_SECONDS, filled, is_growing, lower, upper};
use super::core_use::CoreUse;
use crate::harness::document::run::Run;
use crate::harness::judge::objective::Answers;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::undisturbed::Undisturbed;
use crate::harness::record::blocks::Blocks;
use crate::harness::record::intervals::histogram;
use crate::harness::report::stored::Stored;
use crate::harness::report::stored::log::Interval;
use crate::harness::report::text::pauses;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::Counts;

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
    /// Lower bound of the percentile: the same for the times less the delays that the generator may have
    /// added. None where these are not known.
    pub(crate) lower_ns: Option<f64>,
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
    /// Share of the broker's core that other programs took while the broker needed it, if it was counted.
    pub(crate) taken: Option<f64>,
    /// Share of the level in which the schedule paused, if it is known.
    pub(crate) paused: Option<f64>,
    /// Service times from the write to the answer, in nanoseconds.
    pub(crate) service: Histogram<u64>,
    /// Response times while no witness saw a disturbance; none if that is too small a part of the level.
    pub(crate) undisturbed: Option<Histogram<u64>>,
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
    /// The lower bound is beyond the objective, or the level shows no capacity.
    Missed(Cause),
    /// Nobody can tell: the objective lies between the bounds.
    Undecided,
}

impl Verdict {
    /// Returns true if the level met the objective.
    pub(crate) const fn is_met(&self) -> bool {
        matches!(self, Self::Met)
    }

    /// Returns true if the level missed the objective, for whatever cause.
    pub(crate) const fn is_missed(&self) -> bool {
        matches!(self, Self::Missed(_))
    }
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
    /// The lower bound of the percentile is beyond the objective.
    Slo,
    /// The objective lies between the bounds of the percentile.
    Undecided,
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
            Self::Undecided => f.write_str(
                "nobody can tell, the objective lies between the bounds of the percentile",
            ),
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
        match (self.upper_ns, self.lower_ns) {
            (Some(upper), _) if upper <= limit_ns => Verdict::Met,
            (_, Some(lower)) if lower <= limit_ns => Verdict::Undecided,
            _ => Verdict::Missed(Cause::Slo),
        }
    }

    /// Returns true if the load exceeded the capacity of the broker: requests were left over and its
    /// core was full. The lateness of the generator does not matter then.
    pub(crate) fn is_overrun(&self) -> bool {
        let busy = match self.busy() {
            Some(busy) => busy > BUSY_MIN,
            None => self.generator.is_none() && !self.is_given_up(),
        };
        self.is_left_over() && busy
    }

    /// Returns the share of the core's time that the broker could have and used.
    pub(crate) fn busy(&self) -> Option<f64> {
        Some(self.cpu_us? * self.answered / 1e6 / self.left())
    }

    /// Returns the share of the core that other programs left to the broker.
    pub(crate) fn left(&self) -> f64 {
        1.0 - self.taken.unwrap_or(0.0)
    }

    /// Returns the level with the use of the broker's core. A level that was given up has its processor
    /// time from it.
    #[must_use]
    pub(crate) fn with_core(mut self, core: Option<&CoreUse>) -> Self {
        self.taken = core.map(|core| core.taken);
        if self.is_given_up() && self.answered > 0.0 {
            self.cpu_us = core.map(|core| core.busy * 1e6 / self.answered);
        }
        self
    }

    /// Returns the lower bound of the percentile, or the upper one if there is no lower bound. Returns none
    /// if the percentile is undefined.
    pub(crate) fn least_ns(&self) -> Option<f64> {
        let upper_ns = self.upper_ns?;
        Some(self.lower_ns.unwrap_or(upper_ns))
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
        let upper = Times::of_intervals(&stored.response.intervals);
        let lower =
            stored.response.has_lower().then(|| Times::of_intervals(&stored.response.lower));
        let good = stored.service.intervals.iter().filter(|i| !i.class.is_failure());
        let lag =
            lower.is_none().then(|| filled(stored.lag.intervals.iter().flat_map(|i| &i.counts)));
        let Faults { generator, noise } = Faults::of_stored(run, lag.as_ref(), slo);
        let failed = run.classes.values().map(|class| class.errors).sum();
        Self {
            offered: run.load.rate_target.unwrap_or(run.load.rate_answered),
            answered: run.load.rate_answered,
            generator,
            noise,
            cpu_us: run.broker.as_ref().and_then(|broker| broker.cpu_us_per_request),
            paused: pauses::share(run.load.paused_s, run.load.duration_s),
            service: filled(good.flat_map(|i| &i.counts)),
            ..Self::of_times(upper, lower, failed, slo)
        }
    }

    /// Extracts the level from the outcome of a session.
    pub(crate) fn of(outcome: &Outcome, offered: f64, slo: &Objective) -> Self {
        let (good, totals) = (&outcome.good, &outcome.measured.totals);
        let times = |response: &Histogram<u64>, blocks: &Blocks| Times {
            response: response.clone(),
            seconds: blocks.together(totals.whole.good().map(|(class, _)| class)),
        };
        let upper = times(&good.response, &totals.responses);
        let lower = times(&good.lower, &totals.lowers);
        let counted = outcome.broker.as_ref();
        let counters = counted.and_then(|counted| counted.measured);
        let Faults { generator, noise } = Faults::of(&outcome.reasons);
        let level = Self::of_times(upper, Some(lower), totals.whole.failed(), slo);
        // A target that is left behind works through the pauses of the load, too.
        let idle = if level.growing { 0.0 } else { outcome.measured.paused.as_f64() };
        let running = outcome.duration.as_f64() - outcome.measured.paused.as_f64();
        Self {
            offered,
            answered: outcome.rate_answered * running / (outcome.duration.as_f64() - idle),
            generator,
            noise,
            cpu_us: counters.and_then(|counters| counters.cpu_us_per_request()),
            misses: counters.and_then(|counters| counters.mint_ratio()),
            memory: counted.and_then(|counted| {
                let bytes = float(counted.anonymous_bytes?);
                Some(Memory { bytes, tokens: counted.whole.mints })
            }),
            paused: Some(outcome.measured.paused.as_f64() / outcome.duration.as_f64()),
            service: good.service.clone(),
            undisturbed: undisturbed(&outcome.undisturbed),
            ..level
        }
    }

    /// Returns a level with the figures that follow from the answers. The other fields are empty.
    fn of_times(upper: Times, lower: Option<Times>, failed: u64, slo: &Objective) -> Self {
        let quantile = slo.quantile();
        let lower_ns = lower.and_then(|lower| {
            let least = self::lower(&lower.seconds, quantile);
            let answers = Answers { response: lower.response, failed };
            Some(float(answers.at_quantile(quantile)?).min(least))
        });
        let Times { response, seconds } = upper;
        let answers = Answers { response, failed };
        let p = |quantile| float(answers.response.value_at_quantile(quantile));
        let quantile_ns = answers.at_quantile(quantile).map(float);
        Self {
            upper_ns: quantile_ns.map(|ns| ns.max(self::upper(&seconds, quantile))),
            lower_ns,
            quantile_ns,
            p50_ns: p(0.5),
            p99_ns: p(0.99),
            mean_ns: answers.response.mean(),
            errors: share(answers.failed, answers.count()),
            growing: is_growing(&seconds, slo.limit_ns()),
            ..Self::empty()
        }
    }

    /// Returns a level without results.
    pub(crate) fn empty() -> Self {
        Self {
            offered: 0.0,
            answered: 0.0,
            quantile_ns: None,
            upper_ns: None,
            lower_ns: None,
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
            taken: None,
            paused: None,
            service: histogram(),
            undisturbed: None,
        }
    }
}

/// Times of all good answers, together and in each second.
struct Times {
    response: Histogram<u64>,
    seconds: Vec<Counts>,
}

impl Times {
    fn of_intervals(intervals: &[Interval]) -> Self {
        let mut seconds: BTreeMap<u64, Counts> = BTreeMap::new();
        for interval in intervals.iter().filter(|interval| !interval.class.is_failure()) {
            let second = seconds.entry(interval.start.as_secs()).or_default();
            second.extend_from_slice(&interval.counts);
        }
        let seconds: Vec<Counts> = seconds.into_values().collect();
        Self { response: filled(seconds.iter().flatten()), seconds }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    float(part) / float(whole.max(1))
}

/// Returns the undisturbed times of all good answers, if any class has them.
fn undisturbed(view: &Undisturbed) -> Option<Histogram<u64>> {
    let shown = view.classes.values().filter_map(|class| class.as_ref().ok());
    let times = filled(shown.flat_map(|quiet| &quiet.times));
    (!times.is_empty()).then_some(times)
}

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
            lower_ns: Some(upper_ns),
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
    fn an_objective_between_the_bounds_is_neither_met_nor_missed() {
        let wide = Level { lower_ns: Some(5e5), ..level(100.0, 1e6) };
        assert_eq!(wide.verdict(1e6), Verdict::Met);
        assert_eq!(wide.verdict(7e5), Verdict::Undecided);
        assert_eq!(wide.verdict(4e5), Verdict::Missed(Cause::Slo));
        let recorded = Level { lower_ns: None, ..wide };
        assert_eq!(recorded.verdict(7e5), Verdict::Missed(Cause::Slo));
    }

    #[test]
    fn a_core_is_full_if_the_broker_had_all_that_others_left() {
        let half = Level { cpu_us: Some(50.0), answered: 10_000.0, ..level(20_000.0, 1e9) };
        assert!(!half.is_overrun() && half.busy() == Some(0.5));
        let core = CoreUse { busy: 0.5, taken: 0.45 };
        let shared = half.with_core(Some(&core));
        assert!(shared.is_overrun() && shared.cpu_us == Some(50.0));
        let given_up = Level { growing: true, quantile_ns: None, cpu_us: None, ..shared };
        assert_eq!(given_up.with_core(Some(&core)).cpu_us, Some(50.0));
    }
}
