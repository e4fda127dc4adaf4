//! Verdicts on service-level objectives.

mod answers;
mod bounded;
mod verdict;

pub use self::answers::Answers;
pub use self::bounded::{AnswersOverTime, BoundedAnswers, over_time};
pub use self::verdict::{Judgement, Verdict};
use super::outcome::Outcome;
use super::ruling::Rule;
use crate::harness::scenario::objective::Objective;

impl Judgement {
    /// Judges a run.
    pub fn of_run(rule: Rule, objective: &Objective, outcome: &Outcome) -> Self {
        match rule {
            Rule::Strict => Self::of(objective, &Answers::of_run(objective, &outcome.measured)),
            Rule::Bounds => Self::by_bounds(objective, &BoundedAnswers::of_run(objective, outcome)),
        }
    }
}
