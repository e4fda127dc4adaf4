//! Verdicts on service-level objectives.

mod answers;
mod bounded;
mod verdict;

pub use self::answers::{Answers, answers_min};
pub use self::bounded::{AnswersOverTime, BoundedAnswers, over_time};
pub use self::verdict::{Judgement, Verdict};
use super::outcome::Outcome;
use super::ruling::{Asked, Rule};
use crate::harness::scenario::objective::Objective;

impl Judgement {
    /// Judges an objective of a run.
    pub fn of_run(asked: Asked<'_>, objective: &Objective, outcome: &Outcome) -> Self {
        match asked.rule {
            Rule::Strict => Self::of(objective, &Answers::of_run(objective, &outcome.measured)),
            Rule::Bounds => {
                let answers = BoundedAnswers::of_run(objective, outcome);
                Self::by_bounds(objective, &answers, asked.chance)
            }
        }
    }
}
