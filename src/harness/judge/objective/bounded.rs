//! Objectives judged by both bounds of the response times.
//!
//! An objective is met if the upper end of the sampling interval of the upper bounds' percentile meets it. It is
//! missed if the lower end of the interval of the lower bounds' percentile misses it. Otherwise nobody can tell.

use super::answers::{Answers, Cover, answers_min, cover};
use super::verdict::{Judgement, Verdict};
use crate::harness::class::Class;
use crate::harness::judge::outcome::Outcome;
use crate::harness::nanos::Nanos;
use crate::harness::record::blocks::Blocks;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::binomial::Trials;
use crate::harness::stats::dispersion::index_of_dispersion;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::{Chance, Counts, quantile_interval_at};

/// One of the two bounds of the response times, over all answers and over time.
#[derive(Clone, Debug)]
pub struct AnswersOverTime {
    /// Bounds of all answers.
    pub answers: Answers,
    /// The same in equal stretches of time, with a failed request as the greatest value. Empty where the load changes
    /// by design.
    pub blocks: Vec<Counts>,
}

/// Answers with both bounds of their response times.
#[derive(Clone, Debug)]
pub struct BoundedAnswers {
    /// Upper bounds: the response times as recorded.
    pub upper: AnswersOverTime,
    /// Lower bounds.
    pub lower: AnswersOverTime,
}

impl BoundedAnswers {
    /// Returns the answers of a run that the objective covers.
    pub fn of_run(objective: &Objective, outcome: &Outcome) -> Self {
        let measured = &outcome.measured;
        let set = Answers::set(objective, measured);
        let upper = set.seen().map(|(class, latencies)| (class, &latencies.response));
        let lower = set.seen().map(|(class, latencies)| (class, &latencies.lower));
        let whole = objective.phase_index().is_none() && outcome.is_steady_by_design();
        let classes: Vec<Class> = set.seen().map(|(class, _)| class).filter(|_| whole).collect();
        let bound = |answers, blocks| AnswersOverTime {
            answers,
            blocks: over_time(objective, blocks, &classes),
        };
        Self {
            upper: bound(Answers::of(objective, upper), &measured.totals.responses),
            lower: bound(Answers::of(objective, lower), &measured.totals.lowers),
        }
    }
}

/// Returns the answers of these classes that the objective covers, in stretches of time.
pub fn over_time(objective: &Objective, blocks: &Blocks, classes: &[Class]) -> Vec<Counts> {
    let of = |wanted| {
        let covered =
            classes.iter().copied().filter(move |class| cover(objective, *class) == wanted);
        blocks.together(covered)
    };
    let (mut answers, failed) = (of(Cover::Answer), of(Cover::Failed));
    if answers.len() < failed.len() {
        answers.resize(failed.len(), Counts::new());
    }
    for (answers, failed) in answers.iter_mut().zip(&failed) {
        let failed: u64 = failed.iter().map(|(_, times)| times).sum();
        answers.extend((failed > 0).then_some((u64::MAX, failed)));
    }
    answers
}

/// One bound of the response times, with the sampling interval of a percentile.
#[derive(Clone, Debug)]
struct Sampled {
    over_time: AnswersOverTime,
    /// The ends in nanoseconds; none if the answers cannot support an interval.
    interval_ns: Option<(u64, u64)>,
}

impl Sampled {
    fn of(over_time: AnswersOverTime, quantile: f64, chance: Chance) -> Self {
        // The maximum is a figure of this run.
        let interval = || quantile_interval_at(&over_time.blocks, quantile, chance).ok();
        let interval_ns = (quantile < 1.0).then(interval).flatten();
        Self { over_time, interval_ns }
    }

    /// Returns true if chance alone does not explain that the percentile is within the limit.
    fn is_within(&self, objective: &Objective, chance: Chance) -> bool {
        match self.interval_ns {
            Some((_, high)) => objective.allows(Nanos::new(high)),
            None => {
                self.trials(objective).at_most(1.0 - objective.quantile()) <= chance.probability()
            }
        }
    }

    /// Returns true if chance alone does not explain that the percentile is beyond the limit.
    fn is_beyond(&self, objective: &Objective, chance: Chance) -> bool {
        match self.interval_ns {
            Some((low, _)) => !objective.allows(Nanos::new(low)),
            None => {
                self.trials(objective).at_least(1.0 - objective.quantile()) <= chance.probability()
            }
        }
    }

    /// Returns the answers as independent trials, of which those over the limit succeed (E. L. Korn and B. I. Graubard,
    /// Confidence intervals for proportions with small expected number of positive counts estimated from survey data,
    /// Survey Methodology 24, 1998).
    ///
    /// The ends of the interval of a percentile lie on the same side of the limit as these probabilities say.
    fn trials(&self, objective: &Objective) -> Trials {
        let AnswersOverTime { answers, blocks } = &self.over_time;
        let is_over = |ns| !objective.allows(Nanos::new(ns));
        let index = index_of_dispersion(blocks, is_over);
        let over = float(answers.over(objective));
        Trials { count: float(answers.count()) / index, successes: over / index }
    }
}

/// Evidence of one percentile, whatever the limit. Judging many limits computes its intervals once.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    upper: Sampled,
    lower: Sampled,
    chance: Chance,
}

impl Evidence {
    /// Returns what these answers say. A verdict other than "cannot tell" is wrong by chance with at most this
    /// probability.
    pub(super) fn of(answers: BoundedAnswers, quantile: f64, chance: Chance) -> Self {
        let [upper, lower] =
            [answers.upper, answers.lower].map(|bound| Sampled::of(bound, quantile, chance));
        Self { upper, lower, chance }
    }

    /// Judges an objective on this percentile.
    pub(super) fn judge(&self, objective: &Objective) -> Judgement {
        let Self { upper, lower, chance } = self;
        let [upper_answers, lower_answers] = [upper, lower].map(|bound| &bound.over_time.answers);
        let quantile = objective.quantile();
        let (count, count_min) = (upper_answers.count(), answers_min(quantile));
        let (is_met, is_missed) = if quantile < 1.0 {
            (upper.is_within(objective, *chance), lower.is_beyond(objective, *chance))
        } else {
            (upper_answers.over(objective) == 0, lower_answers.over(objective) > 0)
        };
        let verdict = match (is_met && count >= count_min, is_missed) {
            (true, _) => Verdict::Met,
            (_, true) => Verdict::Missed,
            _ => Verdict::Inconclusive,
        };
        let is_told = count >= count_min || verdict == Verdict::Missed;
        let told = |answers: &Answers| answers.at_quantile(quantile).filter(|_| is_told);
        let (measured_ns, lower_ns) = (told(upper_answers), told(lower_answers));
        let ends = lower.interval_ns.zip(upper.interval_ns);
        let interval_ns = ends.map(|((low_ns, _), (_, high_ns))| (low_ns, high_ns));
        Judgement { verdict, measured_ns, lower_ns, interval_ns, count, count_min }
    }
}

impl Judgement {
    /// Judges answers by both bounds of their response times. A verdict other than "cannot tell" is wrong by chance
    /// with at most this probability.
    ///
    /// A percentile needs ten answers beyond it to meet an objective. The maximum is a figure of this run: it has no
    /// sampling interval.
    pub fn by_bounds(objective: &Objective, answers: BoundedAnswers, chance: Chance) -> Self {
        Evidence::of(answers, objective.quantile(), chance).judge(objective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::intervals::histogram;
    use crate::harness::stats::intervals::quantile_interval;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Returns bounds of answers in seconds; the values of each second as (nanoseconds, count).
    fn bound(seconds: &[Counts], failed: u64) -> AnswersOverTime {
        let mut response = histogram();
        for (ns, times) in seconds.iter().flatten() {
            response.record_n(*ns, *times).unwrap();
        }
        AnswersOverTime { answers: Answers { response, failed }, blocks: seconds.to_vec() }
    }

    fn judge(objective: &str, lower: &[Counts], upper: &[Counts]) -> Verdict {
        let answers = BoundedAnswers { upper: bound(upper, 0), lower: bound(lower, 0) };
        Judgement::by_bounds(&objective.parse().unwrap(), answers, Chance::USUAL).verdict
    }

    fn constant(ns: u64, seconds: usize) -> Vec<Counts> {
        vec![vec![(ns, 1000)]; seconds]
    }

    #[test]
    fn the_upper_bound_meets_the_lower_bound_misses_and_between_them_nobody_can_tell() {
        for seconds in [1, 5, 30] {
            let (low, high) = (constant(1_000_000, seconds), constant(3_000_000, seconds));
            assert_eq!(judge("p99<4ms", &low, &high), Verdict::Met, "{seconds}");
            assert_eq!(judge("p99<2ms", &low, &high), Verdict::Inconclusive, "{seconds}");
            assert_eq!(judge("p99<500us", &low, &high), Verdict::Missed, "{seconds}");
            assert_eq!(judge("max<4ms", &low, &high), Verdict::Met, "{seconds}");
            assert_eq!(judge("max<2ms", &low, &high), Verdict::Inconclusive, "{seconds}");
            assert_eq!(judge("max<500us", &low, &high), Verdict::Missed, "{seconds}");
        }
    }

    #[test]
    fn failed_requests_are_slower_than_every_objective_in_both_bounds() {
        let with = |failed| {
            let of = || bound(&[vec![(1_000, 9_800)]], failed);
            let answers = BoundedAnswers { upper: of(), lower: of() };
            let judged = |text: &str| {
                Judgement::by_bounds(&text.parse().unwrap(), answers.clone(), Chance::USUAL)
            };
            [judged("p98<1ms"), judged("p99<1h"), judged("max<1h")]
        };
        assert_eq!(
            with(100).map(|of| of.verdict),
            [Verdict::Met, Verdict::Inconclusive, Verdict::Missed]
        );
        let [p98, p99, _] = with(400);
        assert_eq!((p98.verdict, p98.measured_ns), (Verdict::Missed, None));
        assert_eq!((p99.verdict, p99.lower_ns), (Verdict::Missed, None));
    }

    #[test]
    fn few_answers_can_show_a_miss_but_never_that_an_objective_is_met() {
        let over = |count| vec![vec![(5_000_000, 100 - count), (2_000_000_000, count)]];
        assert_eq!(judge("p99<1s", &over(0), &over(0)), Verdict::Inconclusive);
        assert_eq!(judge("p99<1s", &over(3), &over(3)), Verdict::Inconclusive);
        assert_eq!(judge("p99<1s", &over(4), &over(4)), Verdict::Missed);
        assert_eq!(judge("p99<1s", &[], &[]), Verdict::Inconclusive);
        let thousand = vec![vec![(5_000_000, 1000)]];
        assert_eq!(judge("p99<1s", &thousand, &thousand), Verdict::Met);
    }

    #[test]
    fn a_burst_of_slow_answers_misses_no_objective() {
        // 20 of 1,000 are over the limit, which chance does not explain; but they came in one second of ten.
        let mut seconds = vec![vec![(1_000, 100)]; 10];
        seconds[3] = vec![(1_000, 80), (5_000_000, 20)];
        assert_eq!(judge("p99<1ms", &seconds, &seconds), Verdict::Inconclusive);
    }

    #[test]
    fn whoever_cannot_tell_says_what_this_run_has_and_what_chance_adds() {
        // 14 of 1,000 answers take 4 ms in two seconds of three, in all 9.3 of 1,000.
        let second = |slow| vec![(1_000_000, 1_000 - slow), (4_000_000, slow)];
        let seconds: Vec<Counts> =
            (0..30).map(|n| second(if n % 3 == 0 { 0 } else { 14 })).collect();
        let answers = || BoundedAnswers { upper: bound(&seconds, 0), lower: bound(&seconds, 0) };
        let judged =
            Judgement::by_bounds(&"p99<2ms".parse().unwrap(), answers(), Chance::USUAL).to_string();
        assert_eq!(
            judged,
            "cannot tell, it is 1.00 ms in this run, and may be 1.00 ms to 4.00 ms in another; raise --duration"
        );
    }

    /// Returns seconds of exponential times with a mean of one millisecond.
    fn exponential(rng: &mut StdRng, seconds: usize, rate: usize) -> Vec<Counts> {
        let mut time = || {
            let uniform: f64 = rng.random();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let ns = (-(1.0 - uniform).ln() * 1e6) as u64;
            (ns.max(1), 1)
        };
        let mut second = || {
            let mut counts: Counts = (0..rate).map(|_| time()).collect();
            counts.sort_unstable();
            counts
        };
        (0..seconds).map(|_| second()).collect()
    }

    #[test]
    fn verdicts_on_the_true_percentile_itself_are_wrong_as_seldom_as_their_probability_says() {
        const TRIALS: u64 = 400;
        // The p90 of the law is ln(10) milliseconds: any verdict but "cannot tell" is as good as a wrong one.
        let objective = "p90<2302585ns";
        for (seconds, rate) in [(5, 200), (25, 40)] {
            let decided = (0..TRIALS).filter(|seed| {
                let mut rng = StdRng::seed_from_u64(*seed);
                let sample = exponential(&mut rng, seconds, rate);
                judge(objective, &sample, &sample) != Verdict::Inconclusive
            });
            let trials = Trials { count: float(TRIALS), successes: float(decided.count() as u64) };
            let chance = trials.at_least(2.0 * Chance::USUAL.probability());
            assert!(chance > 0.01, "{trials:?} of {seconds} s: {chance}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_wider_interval_never_turns_cannot_tell_into_met_or_missed(
            seed: u64,
            seconds in prop::sample::select(vec![1_usize, 5, 9, 20]),
            limit_us in 3_000_u64..9_000,
            added_us in 0_u64..3_000,
            percentile in prop::sample::select(vec!["p50", "p90"]),
        ) {
            let sample = exponential(&mut StdRng::seed_from_u64(seed), seconds, 40);
            let moved = |by_us: u64| -> Vec<Counts> {
                let second = |second: &Counts| second.iter().map(|(ns, n)| (ns + by_us * 1_000, *n)).collect();
                sample.iter().map(second).collect()
            };
            let (narrow, lower, upper) = (moved(3_000), moved(3_000 - added_us), moved(3_000 + added_us));
            let objective = format!("{percentile}<{limit_us}us");
            let quantile = objective.parse::<Objective>().unwrap().quantile();
            // Without an interval of the percentile, the index of dispersion depends on the limit.
            prop_assume!(seconds < 10 || quantile_interval(&narrow, quantile).is_ok());
            let narrow = judge(&objective, &narrow, &narrow);
            let wide = judge(&objective, &lower, &upper);
            prop_assert!(wide == narrow || wide == Verdict::Inconclusive, "{narrow:?} {wide:?}");
        }
    }
}
