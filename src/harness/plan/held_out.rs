//! Compares the model with runs that it was not fitted to.
//!
//! The model is fitted to hits alone and mints alone. It predicts a mix of both and a storm; then both
//! are measured. The model is given the share of misses, as a planner is: only its consequences are
//! checked.

use std::convert::Infallible;
use std::time::Duration;

use super::forecast::measured_shape;
use super::level::{Level, filled, lower, upper};
use super::search::{Found, Terms, bracket};
use super::simulate::client::Sdk;
use super::simulate::node::{Costs, Shape};
use super::simulate::window::{Played, Storm, Window, play};
pub(crate) use crate::harness::document::plan::held_out::{Compared, HeldOut};
use crate::harness::stats::float::float;

impl Compared {
    /// Compares a prediction with a measurement. Returns none if the error is not finite.
    pub(crate) fn of(what: &str, unit: &str, predicted: f64, measured: f64) -> Option<Self> {
        let error_percent = (predicted / measured - 1.0) * 100.0;
        let (what, unit) = (what.to_owned(), unit.to_owned());
        let compared = Self { what, unit, predicted, interval: None, measured, error_percent };
        error_percent.is_finite().then_some(compared)
    }

    /// Returns the comparison with the predictions at both ends of the interval of the costs.
    #[must_use]
    pub(crate) fn within(self, [one, other]: [f64; 2]) -> Self {
        let least = one.min(other).min(self.predicted);
        let most = one.max(other).max(self.predicted);
        Self { interval: Some([least, most]), ..self }
    }

    /// Returns a doubt about the model if the measurement lies outside of the interval.
    pub(crate) fn doubt(&self) -> Option<String> {
        let Self { what, unit, measured, interval, .. } = self;
        let [least, most] = (*interval)?;
        let is_inside = (least..=most).contains(measured);
        (!is_inside).then(|| {
            format!("the model is off on this machine: it predicts {least:.1} to {most:.1} {unit} for the {what}, measured {measured:.1}")
        })
    }
}

impl HeldOut {
    /// Returns the reasons why the model does not hold for this machine, or why that is not known.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let doubts = self.compared.iter().filter_map(Compared::doubt);
        doubts.chain(self.notes.iter().cloned()).collect()
    }
}

/// Default of `serve --mint-queue`.
const MINT_QUEUE: usize = 8192;
/// Simulated warm-up, after which a queue that began empty has its full length.
const WARMUP: Duration = Duration::from_secs(1);
/// Maximum length: a window keeps 60 separate seconds, of which the warm-up takes one.
const LENGTH_MAX: Duration = Duration::from_secs(59);

/// Mix of hits and mints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    /// Share of requests that are minted.
    pub(crate) misses: f64,
    /// Percentile of the objective, 0 to 1.
    pub(crate) quantile: f64,
    /// Length of each level, as measured. At most 59 s are simulated, because more adds nothing.
    pub(crate) length: Duration,
}

/// Predicts the highest rate of a mix. The model is searched and judged like the measured broker, by the
/// upper end of an interval. That end lies above the percentile itself, above all near saturation.
/// `costs_at` returns the costs at a rate.
pub(crate) fn mixed_rate(costs_at: &dyn Fn(f64) -> Costs, mix: &Mix, terms: Terms) -> Found {
    let shape = measured_shape(MINT_QUEUE);
    let mix = Mix { length: mix.length.min(LENGTH_MAX), ..*mix };
    let mut seed = terms.seed;
    let mut run = |rate: f64| {
        seed = seed.wrapping_add(1);
        Ok::<_, Infallible>(simulated(rate, &mix, &shape, &costs_at(rate), seed))
    };
    let Ok(found) = bracket(terms, &mut run);
    found
}

fn simulated(rate: f64, mix: &Mix, shape: &Shape, costs: &Costs, seed: u64) -> Level {
    let window = Window {
        hits_per_second: rate * (1.0 - mix.misses),
        misses_per_second: rate * mix.misses,
        renewals_per_second: 0.0,
        storm: None,
        adopted: None,
        length: WARMUP + mix.length,
    };
    level(rate, mix, &play(&window, shape, costs, seed))
}

/// Returns the level that corresponds to a window, without its warm-up.
fn level(rate: f64, mix: &Mix, played: &Played) -> Level {
    let warmup = usize::try_from(WARMUP.as_secs()).unwrap_or(0);
    let seconds = played.seconds.get(warmup..).unwrap_or_default();
    let all = filled(seconds.iter().flatten());
    let at = |quantile| float(all.value_at_quantile(quantile));
    let gave_up = float(played.gave_up);
    let lasted = mix.length.max(played.lasted.saturating_sub(WARMUP));
    let quantile_ns = at(mix.quantile);
    Level {
        offered: rate,
        answered: float(all.len()) / lasted.as_secs_f64(),
        quantile_ns: Some(quantile_ns),
        upper_ns: Some(quantile_ns.max(upper(seconds, mix.quantile))),
        lower_ns: Some(quantile_ns.min(lower(seconds, mix.quantile))),
        p50_ns: at(0.5),
        p99_ns: at(0.99),
        mean_ns: all.mean(),
        errors: gave_up / (gave_up + float(all.len())).max(1.0),
        misses: Some(mix.misses),
        service: all,
        ..Level::empty()
    }
}

/// Predicts the 99th percentile of the time to a token of a storm on one core, in nanoseconds.
pub(crate) fn storm_p99_ns(costs: &Costs, tokens: u32, within: Duration, seed: u64) -> f64 {
    // The measured storm refuses nobody, so any SDK will do.
    let sdks = vec![(Sdk::Go, 1.0)];
    let storm = Storm { vms: tokens, tokens_each: 1, within, sdks };
    let window = Window {
        hits_per_second: 0.0,
        misses_per_second: 0.0,
        renewals_per_second: 0.0,
        storm: Some(storm),
        adopted: None,
        length: within,
    };
    let shape = measured_shape(usize::MAX);
    float(play(&window, &shape, costs, seed).minted.value_at_quantile(0.99))
}

#[cfg(test)]
mod tests {
    use super::super::simulate::service::Service;
    use super::*;

    fn costs(hit_ns: f64, mint_ns: f64) -> Costs {
        Costs {
            hit: Service::Constant(hit_ns),
            mint: Service::Constant(mint_ns),
            way: Service::Constant(0.0),
        }
    }

    fn mix(misses: f64) -> Mix {
        Mix { misses, quantile: 0.99, length: Duration::from_secs(5) }
    }

    fn terms(limit_ns: f64) -> Terms {
        Terms { limit_ns, start: 500.0, rate_max: 1e6, resolution: 1.03, repeats: 3, seed: 1 }
    }

    #[test]
    fn a_simulated_memoryless_server_has_its_rate() {
        let costs = Costs { hit: Service::Exponential(100_000.0), ..costs(0.0, 0.0) };
        let found = mixed_rate(&|_| costs.clone(), &mix(0.0), terms(2e6));
        let truth = 10_000.0 - 100_f64.ln() / 2e6 * 1e9;
        let rate = found.met.unwrap().rate;
        // Like a measured rate, it is judged by the end of an interval, so it is at or below the truth.
        assert!((0.8..1.02).contains(&(rate / truth)), "{rate} {truth}");
    }

    #[test]
    fn a_mix_lies_between_its_parts() {
        let costs = costs(10_000.0, 300_000.0);
        let rate =
            |misses| mixed_rate(&|_| costs.clone(), &mix(misses), terms(5e6)).met.unwrap().rate;
        let (few, some, many) = (rate(0.01), rate(0.1), rate(0.5));
        assert!(few > some && some > many, "{few} {some} {many}");
        let most = 1e6 / (0.9 * 10.0 + 0.1 * 310.0);
        assert!(some < most * 1.02, "{some}");
    }

    #[test]
    fn a_storm_waits_for_what_it_brings() {
        // 2000 mints of 0.5 ms within 0.2 s: the last one is served after a second.
        let p99_ns = storm_p99_ns(&costs(0.0, 500_000.0), 2000, Duration::from_millis(200), 1);
        assert!((p99_ns / 0.795e9 - 1.0).abs() < 0.03, "{p99_ns}");
    }

    #[test]
    fn errors_are_signed_and_need_a_measurement() {
        let compared = Compared::of("rate", "/s", 110.0, 100.0).unwrap();
        assert!((compared.error_percent - 10.0).abs() < 1e-9);
        assert_eq!(Compared::of("rate", "/s", 110.0, 0.0), None);
    }

    #[test]
    fn a_measurement_outside_of_the_interval_is_a_doubt() {
        let compared = |measured| Compared::of("rate", "/s", 110.0, measured).unwrap();
        assert_eq!(compared(1.0).doubt(), None, "nothing is known of its costs");
        let within = |measured| compared(measured).within([120.0, 90.0]);
        assert_eq!(within(100.0).interval, Some([90.0, 120.0]));
        assert_eq!((within(90.0).doubt(), within(120.0).doubt()), (None, None));
        assert!(within(89.0).doubt().unwrap().contains("90.0 to 120.0 /s for the rate"));
    }
}
