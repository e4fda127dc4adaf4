//! The demand of a fleet on its nodes: over a day, in the busiest minute, in a boot storm, and with
//! nodes lost.
//!
//! All nodes are alike and share nothing, and each VM belongs to one node. So one node is simulated with
//! its share of the callers, several times with different seeds, and stands for all nodes.

mod least;
mod missed;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

use self::least::{Least, least};
use self::missed::Bounds;
pub(crate) use self::missed::{Case, Missed};

use super::fit::{Cost, MemoryModel};
use super::fleet_file::{Fleet, NODES_MAX};
use super::simulate::backlog::is_growing;
use super::simulate::day::{self, Day, RequestPattern};
use super::simulate::estimate::Estimate;
use super::simulate::node::{Costs, Shape};
use super::simulate::window::{Adopted, Played, Storm, Window, play};
pub(crate) use crate::harness::document::plan::forecast::{Demand, Forecast, Situation};
use crate::harness::nanos::Nanos;
use crate::harness::stats::float::float;

/// Inputs of a forecast.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    /// The fleet.
    pub(crate) fleet: &'a Fleet,
    /// Costs for the simulation.
    pub(crate) costs: &'a Costs,
    /// Cost of a hit.
    pub(crate) hit: Cost,
    /// Cost of a request that is minted.
    pub(crate) mint: Cost,
    /// Memory of tokens, if it was measured.
    pub(crate) memory: Option<MemoryModel>,
    /// Limit of the percentile, in nanoseconds.
    pub(crate) limit_ns: f64,
    /// Percentile of the objective, 0 to 1.
    pub(crate) quantile: f64,
    /// Maximum share of the cores' time that may be used, also with nodes lost.
    pub(crate) target: f64,
    /// Number of simulations of each window.
    pub(crate) replications: u32,
    /// Seed of everything random.
    pub(crate) seed: u64,
}

/// Number of simulations of each window during the search for the number of nodes.
const SEARCH_REPLICATIONS: u32 = 3;
/// Requests of a steady window, enough for its p99.
const REQUESTS: f64 = 100_000.0;
/// Requests of the longest window that is simulated because its queue grows.
const REQUESTS_LONGEST: f64 = 8.0 * REQUESTS;
/// Maximum length of a steady window: the busiest minute is no longer.
const LENGTH_MAX_S: f64 = 60.0;
/// Utilisation above which a core has nothing to spare.
const FULL: f64 = 0.98;
/// Time slice of the simulated scheduler. It lies between the minimum slice of Linux (0.7 to 2.8 ms, by
/// cores) and the timer tick that enforces it (4 ms at 250 Hz).
const SLICE: Nanos = Nanos::from_millis(3);

/// The simulation was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulation of the fleet was interrupted")]
pub(crate) struct Interrupted;

/// Effort with which a number of nodes is judged.
#[derive(Clone, Copy)]
struct Effort {
    replications: u32,
    /// Picks the value of an estimate that is compared with its limit.
    by: fn(&Estimate) -> f64,
}

impl Effort {
    const SEARCH: Self = Self { replications: SEARCH_REPLICATIONS, by: |estimate| estimate.mean };
}

/// Callback before each simulation of a window. It receives the number of nodes and tells if the work
/// goes on.
pub(crate) type Watch<'a> = &'a dyn Fn(usize) -> ControlFlow<()>;

/// Computes the forecast.
///
/// # Errors
/// Returns [`Interrupted`] when `watch` breaks off.
pub(crate) fn forecast(question: &Question<'_>, watch: Watch<'_>) -> Result<Forecast, Interrupted> {
    Forecaster::new(question, watch).forecast()
}

/// Computes the least number of nodes alone, or none if no number is enough.
///
/// # Errors
/// Returns [`Interrupted`] when `watch` breaks off.
pub(crate) fn nodes_needed(
    question: &Question<'_>,
    watch: Watch<'_>,
) -> Result<Option<u64>, Interrupted> {
    let least = Forecaster::new(question, watch).least()?;
    Ok(least.nodes.map(|nodes| nodes as u64))
}

/// Returns the shape of a node in the fleet file.
pub(crate) fn shape(fleet: &Fleet) -> Shape {
    let nodes = &fleet.nodes;
    Shape {
        cores: nodes.cores,
        lanes: nodes.lanes.unwrap_or(nodes.cores),
        mint_queue: nodes.mint_queue.get(),
        slice: SLICE,
    }
}

/// Returns the shape of the measured broker: one core, with the broker's own defaults.
pub(crate) const fn measured_shape(mint_queue: usize) -> Shape {
    Shape { cores: NonZeroUsize::MIN, lanes: NonZeroUsize::MIN, mint_queue, slice: SLICE }
}

struct Forecaster<'a> {
    question: &'a Question<'a>,
    watch: Watch<'a>,
    demand: Demand,
    shape: Shape,
}

impl<'a> Forecaster<'a> {
    fn new(question: &'a Question<'a>, watch: Watch<'a>) -> Self {
        let fleet = question.fleet;
        let callers = &fleet.callers;
        let uncached = f64::from(callers.vms) * callers.uncached_per_second;
        let pattern = RequestPattern {
            keys: fleet.keys(),
            lifetime: callers.token_lifetime,
            refresh_fraction: fleet.nodes.refresh_at,
            sdks: fleet.sdks(),
            uncached_per_key: callers.uncached_per_second / float(fleet.tokens_each()).max(1.0),
            deployed_within: fleet.wave.as_ref().map(|wave| wave.deployed_within),
        };
        let day = day::play(&pattern, question.seed);
        let demand = demand(&day, uncached, question);
        Self { question, watch, demand, shape: shape(fleet) }
    }

    fn forecast(&self) -> Result<Forecast, Interrupted> {
        let Self { question, demand, .. } = self;
        let file = &question.fleet.nodes;
        let Least { nodes: nodes_needed, fewer: fewer_missed } = self.least()?;
        let nodes = file.count.map(NonZeroUsize::get).or(nodes_needed).unwrap_or(file.lost + 1);
        let left = self.left(nodes);
        let mut missed: Vec<Missed> = self.over_target(nodes).into_iter().collect();
        let mut shown = |case| {
            let situation = self.situation(case, nodes, question.replications)?;
            let faults = |of: &Situation| of.missed(case, &self.bounds(), self.effort().by);
            missed.extend(situation.iter().flat_map(faults));
            Ok(situation)
        };
        let steady = shown(Case::Busiest)?.ok_or(Interrupted)?;
        let (lost, storm) = (shown(Case::Lost)?, shown(Case::Storm)?);
        let storm_lost = shown(Case::StormLost)?;
        let words = |missed: &[Missed]| missed.iter().map(ToString::to_string).collect();
        Ok(Forecast {
            demand: *demand,
            cores_for_day: demand.cores_busy / question.target,
            nodes_needed: nodes_needed.map(|nodes| nodes as u64),
            fewer_missed: words(&fewer_missed),
            nodes: nodes as u64,
            nodes_lost: file.lost as u64,
            missed: words(&missed),
            cores_per_node: file.cores.get() as u64,
            memory_per_node_bytes: self.memory(left),
            steady,
            lost,
            headroom_lost: question.target / self.utilisation(left).max(1e-12) - 1.0,
            storm,
            storm_lost,
        })
    }

    fn memory(&self, left: usize) -> Option<f64> {
        let MemoryModel { base_bytes, token_bytes } = self.question.memory?;
        Some(base_bytes + token_bytes * float(self.question.fleet.keys()) / float(left as u64))
    }

    fn utilisation(&self, nodes: usize) -> f64 {
        self.demand.cores_busy / float((nodes * self.shape.cores.get()) as u64)
    }

    /// Searches for the least number of nodes. A few replications find it roughly. Then all replications
    /// decide, by the upper ends of the intervals, as for the figures that the plan shows.
    fn least(&self) -> Result<Least, Interrupted> {
        let (lost, cores) = (self.question.fleet.nodes.lost, float(self.shape.cores.get() as u64));
        let busy = whole(self.demand.cores_busy / self.question.target / cores) as usize;
        let range = (lost + 1, NODES_MAX);
        let search = |effort: Effort, guess| {
            least(guess, range, &mut |nodes| self.first_missed(nodes, effort))
        };
        let rough = search(Effort::SEARCH, busy.saturating_add(lost))?;
        match rough.nodes {
            Some(nodes) => search(self.effort(), nodes),
            None => Ok(rough),
        }
    }

    const fn effort(&self) -> Effort {
        Effort { replications: self.question.replications, by: |estimate| estimate.high }
    }

    /// Returns the conditions that `nodes` miss in the first case that fails. The hardest case comes
    /// first.
    fn first_missed(&self, nodes: usize, effort: Effort) -> Result<Vec<Missed>, Interrupted> {
        let over = self.over_target(nodes);
        if over.is_some() {
            return Ok(over.into_iter().collect());
        }
        for case in [Case::StormLost, Case::Lost, Case::Storm, Case::Busiest] {
            let Some(situation) = self.situation(case, nodes, effort.replications)? else {
                continue;
            };
            let missed = situation.missed(case, &self.bounds(), effort.by);
            if !missed.is_empty() {
                return Ok(missed);
            }
        }
        Ok(Vec::new())
    }

    fn over_target(&self, nodes: usize) -> Option<Missed> {
        let (used, target) = (self.utilisation(self.left(nodes)), self.question.target);
        (used > target).then_some(Missed::Target { used, target })
    }

    fn bounds(&self) -> Bounds {
        let storm = self.question.fleet.storm.as_ref();
        let storm_p99_ms = storm.map_or(f64::INFINITY, |boot| boot.p99.as_secs_f64() * 1e3);
        Bounds { limit_ms: self.question.limit_ns / 1e6, storm_p99_ms }
    }

    /// Returns the number of nodes that remain after the loss.
    fn left(&self, nodes: usize) -> usize {
        nodes.saturating_sub(self.question.fleet.nodes.lost).max(1)
    }

    /// Returns the load of a node in a case, or none if the fleet file does not have the case.
    fn window(&self, case: Case, nodes: usize) -> Option<Window> {
        let (left, lost) = (self.left(nodes), self.question.fleet.nodes.lost > 0);
        match case {
            Case::Busiest => Some(self.steady(nodes)),
            Case::Lost => lost.then(|| self.after_loss(nodes, left)),
            Case::Storm => self.storm(nodes),
            Case::StormLost => lost.then(|| self.storm(left)).flatten(),
        }
    }

    /// Simulates a case. While a queue grows, the window is simulated again with twice the length, up to
    /// a maximum. The queue may settle, or turn out to grow without end.
    fn situation(
        &self,
        case: Case,
        nodes: usize,
        replications: u32,
    ) -> Result<Option<Situation>, Interrupted> {
        let Some(mut window) = self.window(case, nodes) else { return Ok(None) };
        let longest = length(&window, REQUESTS_LONGEST);
        loop {
            let situation = self.played(&window, nodes, replications)?;
            // More time does not help a full node.
            let is_full = situation.utilisation.mean > FULL;
            if !situation.growing || is_full || window.length >= longest {
                return Ok(Some(situation));
            }
            window.length = (window.length * 2).min(longest);
        }
    }

    /// Returns a node's share of the busiest minute.
    fn steady(&self, nodes: usize) -> Window {
        let share = 1.0 / float(nodes.max(1) as u64);
        let Demand { requests_per_s_busiest, misses_per_s_busiest, mints_per_s_busiest, .. } =
            self.demand;
        let hits_per_second = (requests_per_s_busiest - misses_per_s_busiest).max(0.0) * share;
        let window = Window {
            hits_per_second,
            misses_per_second: misses_per_s_busiest * share,
            renewals_per_second: (mints_per_s_busiest - misses_per_s_busiest) * share,
            storm: None,
            adopted: None,
            length: Duration::ZERO,
        };
        Window { length: length(&window, REQUESTS), ..window }
    }

    /// Returns the load of a remaining node just after the loss. It does not hold the tokens of the
    /// callers that move to it.
    fn after_loss(&self, nodes: usize, left: usize) -> Window {
        let lost = nodes.saturating_sub(left);
        let own = self.steady(nodes);
        let over = float(lost as u64) / float(left as u64);
        let keys = float(self.question.fleet.keys()) / float(nodes as u64) * over;
        let adopted = Adopted { keys: whole(keys), per_second: own.hits_per_second * over };
        let renewals_per_second = own.renewals_per_second * (1.0 + over);
        let misses_per_second = own.misses_per_second * (1.0 + over);
        let window =
            Window { adopted: Some(adopted), renewals_per_second, misses_per_second, ..own };
        Window { length: length(&window, REQUESTS), ..window }
    }

    fn storm(&self, nodes: usize) -> Option<Window> {
        let boot = self.question.fleet.storm.as_ref()?;
        let tokens_each = u32::try_from(self.question.fleet.tokens_each()).unwrap_or(u32::MAX);
        let storm = Storm {
            vms: boot.vms.div_ceil(u32::try_from(nodes.max(1)).unwrap_or(u32::MAX)),
            tokens_each,
            within: boot.within,
            sdks: self.question.fleet.sdks(),
        };
        let length = boot.within;
        Some(Window { storm: Some(storm), length, ..self.steady(nodes) })
    }

    fn played(
        &self,
        window: &Window,
        nodes: usize,
        replications: u32,
    ) -> Result<Situation, Interrupted> {
        let seed = self.question.seed;
        let mut plays = Vec::new();
        for replication in 0..replications.max(1) {
            if (self.watch)(nodes).is_break() {
                return Err(Interrupted);
            }
            let seed = seed.wrapping_add(replication.into());
            plays.push(play(window, &self.shape, self.question.costs, seed));
        }
        let cores = float(self.shape.cores.get() as u64);
        let situation = Situation::of(&plays, self.question.quantile, cores);
        // A storm is simulated to its end, and its queue is never steady.
        Ok(Situation { growing: situation.growing && window.storm.is_none(), ..situation })
    }
}

/// Returns the time that `requests` requests and renewals of a window take, at most a minute. There is
/// no minimum: an overloaded node would be simulated without end.
fn length(window: &Window, requests: f64) -> Duration {
    let adopted = window.adopted.map_or(0.0, |adopted| adopted.per_second);
    let Window { hits_per_second, misses_per_second, renewals_per_second, .. } = window;
    let per_second = hits_per_second + misses_per_second + renewals_per_second + adopted;
    Duration::from_secs_f64((requests / per_second.max(1.0)).min(LENGTH_MAX_S))
}

impl Situation {
    fn of(plays: &[Played], quantile: f64, cores: f64) -> Self {
        let of = |value: &dyn Fn(&Played) -> f64| {
            let values: Vec<f64> = plays.iter().map(value).collect();
            Estimate::of(&values).unwrap_or(Estimate { mean: 0.0, low: 0.0, high: 0.0 })
        };
        let minted = |quantile: f64| {
            let any = plays.iter().all(|played| !played.minted.is_empty());
            any.then(|| of(&|played| ms(played.minted.value_at_quantile(quantile))))
        };
        Self {
            quantile_ms: of(&|played| ms(all(played).value_at_quantile(quantile))),
            token_p50_ms: minted(0.5),
            token_p99_ms: minted(0.99),
            refused_share: of(&|played| share(played.refused, played.requests)),
            gave_up_share: of(&|played| {
                share(played.gave_up, played.minted.len() + played.gave_up)
            }),
            queue_peak: of(&|played| float(played.queue_peak as u64)),
            recovery_s: of(&|played| played.recovery.as_secs_f64()),
            utilisation: of(&|played| played.utilisation),
            growing: is_growing(plays.iter().map(|played| played.backlog), cores)
                || plays.iter().any(|played| played.put_off > 0),
        }
    }
}

fn demand(day: &Day, uncached_per_s: f64, question: &Question<'_>) -> Demand {
    const DAY_S: f64 = 86_400.0;
    let busiest = day.busiest();
    let misses = float(busiest.misses) / 60.0;
    let renewals = float(busiest.renewals) / 60.0;
    let requests_per_s = uncached_per_s + float(day.asks()) / DAY_S;
    // Nobody asks for a renewal, so its own request costs nothing.
    let renewal_us = (question.mint.core_us - question.hit.core_us).max(0.0);
    let requests_per_s_busiest = uncached_per_s + float(busiest.asks) / 60.0;
    let busy_us = (requests_per_s_busiest - misses).max(0.0) * question.hit.core_us
        + misses * question.mint.core_us
        + renewals * renewal_us;
    Demand {
        requests_per_s,
        requests_per_s_busiest,
        mints_per_s: float(day.mints()) / DAY_S,
        mints_per_s_busiest: misses + renewals,
        misses_per_s_busiest: misses,
        cores_busy: busy_us / 1e6 / question.fleet.nodes.efficiency,
    }
}

/// Returns the times of hits and mints together.
pub(super) fn all(played: &Played) -> hdrhistogram::Histogram<u64> {
    let mut all = played.hits.clone();
    // All histograms have equal bounds, so adding cannot fail.
    let _ = all.add(&played.minted);
    all
}

fn ms(ns: u64) -> f64 {
    float(ns) / 1e6
}

fn share(part: u64, whole: u64) -> f64 {
    float(part) / float(whole.max(1))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
const fn whole(value: f64) -> u32 {
    value.ceil() as u32
}

#[cfg(test)]
mod tests;
