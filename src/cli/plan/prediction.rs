//! Predictions of the model for runs that it is not fitted to.

use std::time::Duration;

use super::calibration::quiet;
use crate::harness::plan::fit::{Mixed, Quiet, Side, costs, costs_at};
use crate::harness::plan::held_out;
use crate::harness::plan::held_out::Mix;
use crate::harness::plan::search::Terms;

/// Model with the costs of one moment. `left` of its functions is the share of the core that other programs
/// leave.
pub(super) struct Prediction<'a> {
    hit: &'a Side,
    mint: &'a Side,
    quiet: Quiet,
}

impl<'a> Prediction<'a> {
    pub(super) fn of(hit: &'a Side, mint: &'a Side) -> Self {
        Self { hit, mint, quiet: quiet(hit, mint) }
    }

    /// Returns the highest rate of a mix within the objective, if there is one.
    pub(super) fn rate_of_mix(&self, left: f64, mix: &Mix, terms: Terms) -> Option<f64> {
        let Self { hit, mint, quiet } = self;
        let costs = |rate| costs_at(hit, mint, quiet, Mixed { rate, misses: mix.misses, left });
        Some(held_out::mixed_rate(&costs, mix, terms).met?.rate)
    }

    /// Returns the 99th percentile of the time to a token of a storm, in nanoseconds.
    pub(super) fn storm_p99_ns(&self, left: f64, tokens: u32, within: Duration, seed: u64) -> f64 {
        let costs = costs(&self.hit.cost, &self.mint.cost, &self.quiet, left);
        held_out::storm_p99_ns(&costs, tokens, within, seed)
    }
}
