//! The answer of a plan: tells if the nodes are enough, and for which conditions.

use super::fit::{FitError, Side};
use super::fleet_file::NODES_MAX;
pub(crate) use crate::harness::document::plan::Answer;
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

impl Answer {
    /// Returns the answer and its sentences: first the answer itself, then the reason.
    pub(crate) fn of(
        sides: [Fitted<'_>; 2],
        forecast: Option<&Forecast>,
        terms: Terms<'_>,
    ) -> (Self, Vec<String>) {
        let without = |reason: String| vec![format!("No plan: {reason}.")];
        for (name, side) in ["hits", "mints"].into_iter().zip(sides) {
            match side {
                Err(error) => return (Self::Unknown, without(format!("{name}: {error}"))),
                Ok(side) if side.rate().is_some() => {}
                Ok(side) if side.is_generator_limited() => {
                    let reason =
                        format!("the generator was the limit at every measured rate of {name}");
                    return (Self::Unknown, without(reason));
                }
                Ok(_) => {
                    let reason = format!("no measured rate of {name} meets {}", terms.slo);
                    return (Self::Unreachable, without(reason));
                }
            }
        }
        match forecast {
            Some(forecast) => of_forecast(forecast, terms),
            None => (Self::Unknown, without("the fleet was not simulated".to_owned())),
        }
    }
}

pub(super) fn of_forecast(forecast: &Forecast, terms: Terms<'_>) -> (Answer, Vec<String>) {
    let Forecast { nodes, nodes_needed, cores_per_node, missed, fewer_missed, .. } = forecast;
    let of =
        if *cores_per_node == 1 { "1 core".to_owned() } else { format!("{cores_per_node} cores") };
    let conditions = conditions(forecast, terms);
    let reason = |nodes: u64, missed: &[String]| {
        (!missed.is_empty())
            .then(|| format!("{} {} not enough: {}.", count(nodes), verb(nodes), missed.join("; ")))
    };
    let nodes_are = format!("{} of {of} {}", count(*nodes), verb(*nodes));
    let (answer, said, reason) = match nodes_needed {
        Some(needed) if missed.is_empty() && needed == nodes => (
            Answer::Sufficient,
            format!("{nodes_are} the least for {conditions}."),
            reason(nodes.saturating_sub(1), fewer_missed),
        ),
        needed if missed.is_empty() => (
            Answer::Sufficient,
            format!("{nodes_are} enough for {conditions}."),
            needed.map(|needed| format!("The least is {}.", count(needed))),
        ),
        Some(needed) => (
            Answer::Insufficient,
            format!("{nodes_are} not enough for {conditions}; the least is {needed}."),
            reason(*nodes, missed),
        ),
        None => (
            Answer::Impossible,
            format!("No number of nodes of {of} up to {NODES_MAX} is enough for {conditions}."),
            reason(NODES_MAX as u64, fewer_missed),
        ),
    };
    (answer, std::iter::once(said).chain(reason).collect())
}

/// Returns all conditions that the answer covers.
fn conditions(forecast: &Forecast, Terms { slo, target }: Terms<'_>) -> String {
    let storm = if forecast.storm.is_some() { ", the boot storm" } else { "" };
    let lost = match forecast.nodes_lost {
        0 => String::new(),
        lost => format!(", with {} lost", count(lost)),
    };
    format!("{slo}, {:.0} % utilisation{storm}, no 503 and a token for all{lost}", target * 100.0)
}

fn count(nodes: u64) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

const fn verb(nodes: u64) -> &'static str {
    if nodes == 1 { "is" } else { "are" }
}
