//! The answer of a plan: tells if the nodes are enough, and for which conditions.
//!
//! Sentence, `plan.json` and exit code come from one [`Answer`]. It is given only once all doubts are known:
//! a plan that its own check contradicts says that it cannot tell.

use super::fit::{FitError, Side};
use super::fleet_file::NODES_MAX;
use super::level::Verdict;
pub(crate) use crate::harness::document::plan::Answer;
use crate::harness::document::plan::NodesRange;
use crate::harness::document::plan::forecast::Forecast;

/// Side of the calibration, or the reason why it could not be fitted.
pub(crate) type Fitted<'a> = Result<&'a Side, FitError>;

/// Objective and target that a plan must meet, as the answer words them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// The objective.
    pub(crate) slo: &'a str,
    /// Maximum share of the cores' time that may be used.
    pub(crate) target: f64,
}

/// Simulation of a fleet, with everything that makes it uncertain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simulated<'a> {
    /// The forecast for the likely costs.
    pub(crate) forecast: &'a Forecast,
    /// The number of nodes at both ends of the interval of the costs.
    pub(crate) range: NodesRange,
    /// The `nodes.count` of the fleet file, if it has one.
    pub(crate) count: Option<u64>,
    /// Reasons why the model does not hold for this machine.
    pub(crate) doubts: &'a [String],
}

/// Share of a core above which its loss may decide a p99.
const TAKEN_MAX: f64 = 0.01;
/// Largest width of the range of nodes that is an answer: this many nodes, or half of the least number.
const WIDTH_MAX: u64 = 2;

impl Answer {
    /// Returns the answer and its sentences: first the answer itself, then the reason.
    pub(crate) fn of(
        sides: [Fitted<'_>; 2],
        simulated: Option<Simulated<'_>>,
        terms: Terms<'_>,
    ) -> (Self, Vec<String>) {
        for (name, side) in ["hits", "mints"].into_iter().zip(sides) {
            if let Some((answer, said)) = without_rate(name, side, terms) {
                return (answer, vec![said]);
            }
        }
        let Some(simulated) = simulated else {
            return (Self::Unknown, vec!["No plan: the fleet was not simulated.".to_owned()]);
        };
        let (answer, said) = worded(simulated.forecast, Some(simulated.range), terms);
        let doubts = simulated.doubts(answer);
        if doubts.is_empty() {
            return (answer, said);
        }
        let cannot = format!("Cannot tell: {}.", doubts.join("; "));
        let model = said.iter().map(|sentence| format!("By the model alone: {sentence}"));
        (Self::Undecided, std::iter::once(cannot).chain(model).collect())
    }
}

/// Returns the answer of a plan whose side has no rate within the objective.
fn without_rate(name: &str, side: Fitted<'_>, terms: Terms<'_>) -> Option<(Answer, String)> {
    let slo = terms.slo;
    let side = match side {
        Err(error) => return Some((Answer::Unknown, format!("No plan: {name}: {error}."))),
        Ok(side) => side,
    };
    if side.rate().is_some() {
        return None;
    }
    if let Some(why) = undecided(side) {
        let said = format!("Cannot tell: no measured rate of {name} is sure to meet {slo}; {why}.");
        return Some((Answer::Undecided, said));
    }
    if side.is_generator_limited() {
        let said =
            format!("No plan: the generator was the limit at every measured rate of {name}.");
        return Some((Answer::Unknown, said));
    }
    Some((Answer::Unreachable, format!("No plan: no measured rate of {name} meets {slo}.")))
}

/// Returns a reason why a rate may be within the objective although none was shown to be.
fn undecided(side: &Side) -> Option<String> {
    let probes = &side.found.probes;
    if probes.iter().any(|probe| probe.verdict == Verdict::Undecided) {
        return Some("at some the objective lies between the bounds of the percentile".to_owned());
    }
    let lowest = probes.iter().min_by(|a, b| a.rate.total_cmp(&b.rate))?;
    let taken = lowest.level.taken.filter(|taken| *taken > TAKEN_MAX)?;
    Some(format!(
        "other programs had the core for {:.1} % of the time that the broker needed it at {:.0}/s; stop what else runs here, or loosen --slo",
        taken * 100.0,
        lowest.rate
    ))
}

impl Simulated<'_> {
    /// Returns the reasons why an answer of the model cannot be given.
    fn doubts(&self, answer: Answer) -> Vec<String> {
        let mut doubts = self.doubts.to_vec();
        doubts.extend(self.between(answer));
        doubts
    }

    /// Returns a reason if the answer is another one at an end of the interval of the costs.
    fn between(&self, answer: Answer) -> Option<String> {
        let Self { range: NodesRange { at_least, at_most }, count, .. } = *self;
        let sure = match (answer, count) {
            (Answer::Sufficient, Some(count)) => at_most.is_some_and(|most| count >= most),
            (Answer::Insufficient, Some(count)) => at_least.is_none_or(|least| count < least),
            (Answer::Impossible, _) => at_least.is_none(),
            _ => at_least.zip(at_most).is_some_and(|(least, most)| is_narrow(least, most)),
        };
        (!sure).then(|| {
            let [least, most] =
                [at_least, at_most].map(|end| end.map_or("no number".to_owned(), count_of));
            match count {
                Some(count) => format!(
                    "{} may be enough or not, {least} at the lowest costs and {most} at the highest",
                    count_of(count)
                ),
                None => format!(
                    "the costs vary too much: {least} at the lowest costs and {most} at the highest"
                ),
            }
        })
    }
}

/// Returns true if a range of nodes is an answer.
const fn is_narrow(least: u64, most: u64) -> bool {
    let width = most.saturating_sub(least);
    width <= WIDTH_MAX || width <= least / 2
}

/// Returns the answer for the likely costs, and its sentences.
#[cfg(test)]
pub(super) fn of_forecast(forecast: &Forecast, terms: Terms<'_>) -> (Answer, Vec<String>) {
    worded(forecast, None, terms)
}

fn worded(
    forecast: &Forecast,
    range: Option<NodesRange>,
    terms: Terms<'_>,
) -> (Answer, Vec<String>) {
    let Forecast { nodes, nodes_needed, cores_per_node, missed, fewer_missed, .. } = forecast;
    let of =
        if *cores_per_node == 1 { "1 core".to_owned() } else { format!("{cores_per_node} cores") };
    let conditions = conditions(forecast, terms);
    let range = range.and_then(in_words).map_or(String::new(), |range| format!(" ({range})"));
    let reason = |nodes: u64, missed: &[String]| {
        (!missed.is_empty()).then(|| {
            format!("{} {} not enough: {}.", count_of(nodes), verb(nodes), missed.join("; "))
        })
    };
    let answer = verdict(forecast);
    let nodes_are = format!("{} of {of} {}", count_of(*nodes), verb(*nodes));
    let least = nodes_needed.map_or(String::new(), |needed| format!("{needed}{range}"));
    let (said, reason) = match answer {
        Answer::Sufficient if nodes_needed == &Some(*nodes) => (
            format!(
                "{}{range} of {of} {} the least for {conditions}.",
                count_of(*nodes),
                verb(*nodes)
            ),
            reason(nodes.saturating_sub(1), fewer_missed),
        ),
        Answer::Sufficient => (
            format!("{nodes_are} enough for {conditions}."),
            nodes_needed.map(|needed| format!("The least is {}{range}.", count_of(needed))),
        ),
        Answer::Insufficient => (
            format!("{nodes_are} not enough for {conditions}; the least is {least}."),
            reason(*nodes, missed),
        ),
        _ => (
            format!("No number of nodes of {of} up to {NODES_MAX} is enough for {conditions}."),
            reason(NODES_MAX as u64, fewer_missed),
        ),
    };
    (answer, std::iter::once(said).chain(reason).collect())
}

/// Returns the answer for the likely costs.
const fn verdict(forecast: &Forecast) -> Answer {
    match forecast.nodes_needed {
        _ if forecast.missed.is_empty() => Answer::Sufficient,
        Some(_) => Answer::Insufficient,
        None => Answer::Impossible,
    }
}

/// Returns the range of nodes, or none if both ends are the same.
fn in_words(range: NodesRange) -> Option<String> {
    let NodesRange { at_least, at_most } = range;
    (at_least != at_most).then(|| {
        let least = at_least.map(|least| format!("at least {least}"));
        let most = at_most
            .map_or("no number at the highest costs".to_owned(), |most| format!("at most {most}"));
        least.into_iter().chain([most]).collect::<Vec<_>>().join(", ")
    })
}

/// Returns all conditions that the answer covers.
fn conditions(forecast: &Forecast, Terms { slo, target }: Terms<'_>) -> String {
    let storm = if forecast.storm.is_some() { ", the boot storm" } else { "" };
    let lost = match forecast.nodes_lost {
        0 => String::new(),
        lost => format!(", with {} lost", count_of(lost)),
    };
    format!("{slo}, {:.0} % utilisation{storm}, no 503 and a token for all{lost}", target * 100.0)
}

fn count_of(nodes: u64) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

const fn verb(nodes: u64) -> &'static str {
    if nodes == 1 { "is" } else { "are" }
}
