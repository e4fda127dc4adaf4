//! Verdicts on service-level objectives.

mod answers;
mod bounded;
mod verdict;

pub use self::answers::{Answers, answers_min};
use self::bounded::Evidence;
pub use self::bounded::{AnswersOverTime, BoundedAnswers, over_time};
pub use self::verdict::{Judgement, Verdict};
use super::outcome::Outcome;
use super::ruling::{Asked, Rule};
use crate::harness::scenario::objective::Objective;

/// Judges the objectives of a run, in their order.
pub fn judged<'a>(
    asked: Asked<'a>,
    outcome: &'a Outcome,
) -> impl Iterator<Item = (&'a Objective, Judgement)> {
    let mut known = Vec::new();
    asked.objectives.iter().map(move |objective| {
        let judgement = match asked.rule {
            Rule::Strict => {
                Judgement::of(objective, &Answers::of_run(objective, &outcome.measured))
            }
            Rule::Bounds => by_evidence(&mut known, objective, asked, outcome),
        };
        (objective, judgement)
    })
}

/// Judges an objective by what is known of its percentile, which is computed for the first.
fn by_evidence<'a>(
    known: &mut Vec<(&'a Objective, Evidence)>,
    objective: &'a Objective,
    asked: Asked<'_>,
    outcome: &Outcome,
) -> Judgement {
    if let Some((_, evidence)) = known.iter().find(|(other, _)| is_alike(other, objective)) {
        return evidence.judge(objective);
    }
    let answers = BoundedAnswers::of_run(objective, outcome);
    let evidence = Evidence::of(answers, objective.quantile(), asked.chance);
    let judgement = evidence.judge(objective);
    known.push((objective, evidence));
    judgement
}

/// Returns true for limits of the same percentile of the same answers.
fn is_alike(one: &Objective, other: &Objective) -> bool {
    let scope = |of: &Objective| (of.class(), of.phase_index(), of.quantile().to_bits());
    scope(one) == scope(other)
}
