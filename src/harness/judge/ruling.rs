//! Ruling on a run: sorts its reasons into those that make it invalid, and disturbances, which are only reported.

use super::outcome::Outcome;
use super::standing::Standing;
use super::validity::Reason;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::intervals::Chance;

/// Rule that judges a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Both bounds of the response times decide. Disturbances are reported, and widen the bounds.
    Bounds,
    /// The response times decide as they were recorded. Any disturbance makes the run invalid.
    Strict,
}

/// Rule and objectives that judge a run.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The rule.
    pub rule: Rule,
    /// Largest probability that chance alone makes a verdict by bounds wrong.
    pub chance: Chance,
    /// The objectives.
    pub objectives: &'a [Objective],
}

/// Reasons of a run, sorted by their effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// Reasons why the run is invalid; empty for a valid run.
    pub reasons: Vec<Reason>,
    /// Disturbances, whose effect lies within the bounds.
    pub disturbances: Vec<Reason>,
}

impl Ruling {
    /// Rules on a run.
    pub fn of(rule: Rule, outcome: &Outcome) -> Self {
        if rule == Rule::Strict {
            return Self { reasons: outcome.reasons.clone(), disturbances: Vec::new() };
        }
        let all = outcome.reasons.iter().cloned();
        let (disturbances, mut reasons): (Vec<_>, Vec<_>) = all.partition(Reason::is_disturbance);
        let median = outcome.bounds().at(0.5);
        if median.is_some_and(|median| median.standing == Standing::Unknown) {
            reasons.push(Reason::Median { count: outcome.judged().response.len() });
        }
        Self { reasons, disturbances }
    }

    /// Returns all reasons, those that make the run invalid first.
    pub fn all(&self) -> Vec<Reason> {
        [self.reasons.as_slice(), &self.disturbances].concat()
    }
}
