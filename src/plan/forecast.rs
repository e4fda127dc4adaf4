//! What a fleet asks of its nodes: a day, a steady second, a storm, and all that with nodes lost.
//!
//! Nodes are alike and share nothing, and each VM belongs to one: a node is played with its share of
//! the callers, several times with different seeds, and that stands for all of them.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::fit::{Cost, MemoryModel};
use super::fleet_file::{Fleet, NODES_MAX};
use super::simulate::day::{self, Day, Rhythm};
use super::simulate::estimate::Estimate;
use super::simulate::node::{Costs, Shape};
use super::simulate::window::{Adopted, Played, Storm, Window, play};

/// What is asked of the forecast.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// What work costs, for the simulation.
    pub costs: &'a Costs,
    /// What a hit costs.
    pub hit: Cost,
    /// What a request costs that is minted.
    pub mint: Cost,
    /// What tokens take of memory, if it was measured.
    pub memory: Option<MemoryModel>,
    /// The limit of the percentile, in nanoseconds.
    pub limit_ns: f64,
    /// Which percentile, 0 to 1.
    pub quantile: f64,
    /// The share of the cores' time that may be used, also with nodes lost.
    pub target: f64,
    /// How often each window is played.
    pub replications: u32,
    /// Of everything random.
    pub seed: u64,
}

/// What the fleet asks for, all of it together.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Demand {
    /// Requests per second, over the day.
    pub requests_per_s: f64,
    /// Requests per second in the minute of the day with the most mints.
    pub requests_per_s_busiest: f64,
    /// Mints per second, over the day.
    pub mints_per_s: f64,
    /// Mints per second in the busiest minute of the day.
    pub mints_per_s_busiest: f64,
    /// Of them, those that somebody waits for.
    pub misses_per_s_busiest: f64,
    /// Cores that are busy in that minute.
    pub cores_busy: f64,
}

/// One situation, played.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Situation {
    /// The percentile of the objective over all answers, in milliseconds.
    pub quantile_ms: Estimate,
    /// Median time to a token that had to be minted, in milliseconds.
    pub token_p50_ms: Option<Estimate>,
    /// 99th percentile of it.
    pub token_p99_ms: Option<Estimate>,
    /// The share of requests that were answered 503.
    pub refused_share: Estimate,
    /// The share of callers that ended without a token, of those whose token was not held.
    pub gave_up_share: Estimate,
    /// The most mints that waited at a node.
    pub queue_peak: Estimate,
    /// From the end of a storm to its last token, in seconds.
    pub recovery_s: Estimate,
    /// The share of the cores' time that was used.
    pub utilisation: Estimate,
}

/// What a number of nodes comes to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Forecast {
    /// What is asked for.
    pub demand: Demand,
    /// Cores needed for the day at the target, no node lost.
    pub cores_for_day: f64,
    /// The least number of nodes that meets target, objective and storm with nodes lost.
    pub nodes_needed: Option<usize>,
    /// The number of nodes that the rest is about.
    pub nodes: usize,
    /// Cores of each.
    pub cores_per_node: usize,
    /// Memory of each in bytes, with its share of the tokens and those of lost nodes.
    pub memory_per_node_bytes: Option<f64>,
    /// The busiest minute of the day.
    pub steady: Situation,
    /// The moment after nodes are lost: their callers come over, and their tokens are not held.
    pub lost: Option<Situation>,
    /// How much more load the remaining nodes bear before they reach the target; negative if none.
    pub headroom_lost: f64,
    /// The boot storm.
    pub storm: Option<Situation>,
    /// The boot storm with nodes lost.
    pub storm_lost: Option<Situation>,
}

/// While the number of nodes is searched, each window is played so often.
const SEARCH_REPLICATIONS: u32 = 3;
/// Requests of a steady window: enough for its p99.
const STEADY_REQUESTS: f64 = 50_000.0;
/// Between the least time slice of Linux's scheduler (0.7 to 2.8 ms, by cores) and a timer tick (4 ms
/// at 250 Hz), at which it is enforced.
const SLICE_NS: u64 = 3_000_000;

/// Forecasts.
pub fn forecast(question: &Question<'_>) -> Forecast {
    Forecaster::new(question).forecast()
}

/// The shape of a node of the fleet file.
pub fn shape(fleet: &Fleet) -> Shape {
    let nodes = &fleet.nodes;
    Shape {
        cores: nodes.cores,
        lanes: nodes.lanes.unwrap_or(nodes.cores),
        mint_queue: nodes.mint_queue.get(),
        slice_ns: SLICE_NS,
    }
}

/// A broker on one core with the broker's own defaults, as it is measured.
pub const fn measured_shape(mint_queue: usize) -> Shape {
    Shape { cores: NonZeroUsize::MIN, lanes: NonZeroUsize::MIN, mint_queue, slice_ns: SLICE_NS }
}

struct Forecaster<'a> {
    question: &'a Question<'a>,
    demand: Demand,
    shape: Shape,
}

impl<'a> Forecaster<'a> {
    fn new(question: &'a Question<'a>) -> Self {
        let fleet = question.fleet;
        let callers = &fleet.fleet;
        let uncached = f64::from(callers.vms) * callers.uncached_per_second;
        let rhythm = Rhythm {
            keys: fleet.keys(),
            lifetime: callers.token_lifetime,
            refresh_fraction: fleet.nodes.refresh_at,
            kits: fleet.kits(),
            uncached_per_key: callers.uncached_per_second / float(fleet.tokens_each()).max(1.0),
            deployed_within: fleet.wave.as_ref().map(|wave| wave.deployed_within),
        };
        let day = day::play(&rhythm, question.seed);
        let demand = demand(&day, uncached, question);
        Self { question, demand, shape: shape(fleet) }
    }

    fn forecast(&self) -> Forecast {
        let fleet = self.question.fleet;
        let nodes_needed = self.nodes_needed();
        let nodes = fleet.nodes.count.map(NonZeroUsize::get);
        let nodes = nodes.or(nodes_needed).unwrap_or(fleet.nodes.lost + 1);
        let left = nodes.saturating_sub(fleet.nodes.lost).max(1);
        let replications = self.question.replications;
        let lost = fleet.nodes.lost > 0;
        Forecast {
            demand: self.demand,
            cores_for_day: self.demand.cores_busy / self.question.target,
            nodes_needed,
            nodes,
            cores_per_node: fleet.nodes.cores.get(),
            memory_per_node_bytes: self.memory(left),
            steady: self.played(&self.steady(nodes), replications),
            lost: lost.then(|| self.played(&self.after_loss(nodes, left), replications)),
            headroom_lost: self.question.target / self.utilisation(left).max(1e-12) - 1.0,
            storm: self.storm(nodes).map(|window| self.played(&window, replications)),
            storm_lost: self
                .storm(left)
                .filter(|_| lost)
                .map(|window| self.played(&window, replications)),
        }
    }

    fn memory(&self, left: usize) -> Option<f64> {
        let MemoryModel { base_bytes, token_bytes } = self.question.memory?;
        Some(base_bytes + token_bytes * float(self.question.fleet.keys()) / float(left as u64))
    }

    fn utilisation(&self, nodes: usize) -> f64 {
        self.demand.cores_busy / float((nodes * self.shape.cores.get()) as u64)
    }

    /// Doubles the nodes until they do, then halves the gap: more nodes never do worse. A few replications
    /// find the number; it counts when the upper ends of the intervals over all of them do, too.
    fn nodes_needed(&self) -> Option<usize> {
        let spare = self.question.fleet.nodes.lost;
        let mut high = 1;
        let may = |nodes| self.do_they(nodes, SEARCH_REPLICATIONS, |estimate| estimate.mean);
        while !may(high) {
            high *= 2;
            if high > NODES_MAX {
                return None;
            }
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if may(middle) { high = middle } else { low = middle }
        }
        while !self.do_they(high, self.question.replications, |estimate| estimate.high) {
            high += 1;
            if high > NODES_MAX {
                return None;
            }
        }
        Some(high + spare)
    }

    /// Whether so many nodes, all that are left, meet everything, by this value of each estimate.
    fn do_they(&self, left: usize, replications: u32, by: fn(&Estimate) -> f64) -> bool {
        if self.utilisation(left) > self.question.target {
            return false;
        }
        let limit_ms = self.question.limit_ns / 1e6;
        let steady = self.played(&self.steady(left), replications);
        if by(&steady.quantile_ms) > limit_ms {
            return false;
        }
        let Some((window, boot)) = self.storm(left).zip(self.question.fleet.storm.as_ref()) else {
            return true;
        };
        let storm = self.played(&window, replications);
        let p99_ms = storm.token_p99_ms.as_ref().map_or(0.0, by);
        p99_ms <= boot.p99.as_secs_f64() * 1e3 && storm.gave_up_share.mean <= 0.0
    }

    /// A node's share of the busiest minute.
    fn steady(&self, nodes: usize) -> Window {
        let share = 1.0 / float(nodes.max(1) as u64);
        let Demand { requests_per_s_busiest, misses_per_s_busiest, mints_per_s_busiest, .. } =
            self.demand;
        let hits_per_second = (requests_per_s_busiest - misses_per_s_busiest).max(0.0) * share;
        let per_second = (requests_per_s_busiest + mints_per_s_busiest) * share;
        // No least length: a node that is asked for far too much would be played without an end.
        let seconds = (STEADY_REQUESTS / per_second.max(1.0)).min(60.0);
        Window {
            hits_per_second,
            misses_per_second: misses_per_s_busiest * share,
            renewals_per_second: (mints_per_s_busiest - misses_per_s_busiest) * share,
            storm: None,
            adopted: None,
            length: Duration::from_secs_f64(seconds),
        }
    }

    /// A remaining node just after the loss: the tokens of the callers that come over are not held.
    fn after_loss(&self, nodes: usize, left: usize) -> Window {
        let lost = nodes.saturating_sub(left);
        let own = self.steady(nodes);
        let over = float(lost as u64) / float(left as u64);
        let keys = float(self.question.fleet.keys()) / float(nodes as u64) * over;
        let adopted = Adopted { keys: whole(keys), per_second: own.hits_per_second * over };
        let renewals_per_second = own.renewals_per_second * (1.0 + over);
        let misses_per_second = own.misses_per_second * (1.0 + over);
        Window { adopted: Some(adopted), renewals_per_second, misses_per_second, ..own }
    }

    fn storm(&self, nodes: usize) -> Option<Window> {
        let boot = self.question.fleet.storm.as_ref()?;
        let tokens_each = u32::try_from(self.question.fleet.tokens_each()).unwrap_or(u32::MAX);
        let storm = Storm {
            vms: boot.vms.div_ceil(u32::try_from(nodes.max(1)).unwrap_or(u32::MAX)),
            tokens_each,
            within: boot.within,
            kits: self.question.fleet.kits(),
        };
        let length = boot.within;
        Some(Window { storm: Some(storm), length, ..self.steady(nodes) })
    }

    fn played(&self, window: &Window, replications: u32) -> Situation {
        let seed = self.question.seed;
        let plays = (0..replications.max(1)).map(|replication| {
            play(window, &self.shape, self.question.costs, seed.wrapping_add(replication.into()))
        });
        let plays: Vec<Played> = plays.collect();
        Situation::of(&plays, self.question.quantile)
    }
}

impl Situation {
    fn of(plays: &[Played], quantile: f64) -> Self {
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
        }
    }
}

fn demand(day: &Day, uncached_per_s: f64, question: &Question<'_>) -> Demand {
    const DAY_S: f64 = 86_400.0;
    let busiest = day.busiest();
    let misses = float(busiest.misses) / 60.0;
    let renewals = float(busiest.renewals) / 60.0;
    let requests_per_s = uncached_per_s + float(day.asks()) / DAY_S;
    // Nobody asks for a renewal: it has no request of its own.
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

/// Hits and mints together.
pub(super) fn all(played: &Played) -> hdrhistogram::Histogram<u64> {
    let mut all = played.hits.clone();
    // Equal bounds: adding cannot fail.
    let _ = all.add(&played.minted);
    all
}

fn ms(ns: u64) -> f64 {
    float(ns) / 1e6
}

fn share(part: u64, whole: u64) -> f64 {
    float(part) / float(whole.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
const fn whole(value: f64) -> u32 {
    value.ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::super::fit::Basis;
    use super::super::fleet_file::tests::parse;
    use super::super::simulate::service::Service;
    use super::*;

    fn cost(core_us: f64) -> Cost {
        Cost { core_us, low_us: core_us, high_us: core_us, basis: Basis::Processor }
    }

    fn costs() -> Costs {
        Costs {
            hit: Service::Constant(10_000.0),
            mint: Service::Constant(290_000.0),
            way: Service::Constant(30_000.0),
        }
    }

    fn ask(text: &str) -> Forecast {
        let fleet = parse(text).unwrap();
        forecast(&Question {
            fleet: &fleet,
            costs: &costs(),
            hit: cost(10.0),
            mint: cost(300.0),
            memory: Some(MemoryModel { base_bytes: 1e8, token_bytes: 2000.0 }),
            limit_ns: 2e6,
            quantile: 0.99,
            target: 0.6,
            replications: 3,
            seed: 1,
        })
    }

    #[test]
    fn busy_cores_are_the_sum_of_what_is_asked() {
        let forecast =
            ask("[fleet]\nvms = 2000\nuncached-per-second = 10.0\n[nodes]\ncores = 1\nlost = 0\n");
        // 20,000 hits per second at 10 us, and next to no mints.
        assert!((forecast.demand.cores_busy - 0.2).abs() < 0.005, "{forecast:?}");
        assert!((forecast.cores_for_day - 0.2 / 0.6).abs() < 0.01);
        assert_eq!((forecast.nodes_needed, forecast.nodes), (Some(1), 1));
        let used = forecast.steady.utilisation.mean;
        assert!((used - 0.2).abs() < 0.02, "{used}");
        assert!(forecast.lost.is_none() && forecast.storm.is_none());
        let memory = forecast.memory_per_node_bytes.unwrap();
        assert!((memory - 1.04e8).abs() < 1.0, "{memory}");
    }

    #[test]
    fn a_storm_decides_on_the_nodes_and_a_lost_one_needs_a_spare() {
        // 4000 mints of 0.3 ms are 1.2 s of a core; within 0.1 s and a p99 of 0.4 s that takes 3.
        let text = "[fleet]\nvms = 4000\n[storm]\nvms = 4000\nwithin = \"100ms\"\np99 = \"400ms\"\n\
                    [nodes]\ncores = 1\nlost = 1\n";
        let forecast = ask(text);
        assert_eq!(forecast.nodes_needed, Some(4));
        let storm = forecast.storm_lost.unwrap();
        let p99_ms = storm.token_p99_ms.unwrap().mean;
        assert!((280.0..400.0).contains(&p99_ms), "{storm:?}");
        assert!(forecast.storm.unwrap().token_p99_ms.unwrap().mean < p99_ms);
    }

    #[test]
    fn more_load_never_needs_fewer_nodes() {
        let nodes = |rate: u32| {
            let text = format!(
                "[fleet]\nvms = 1000\nuncached-per-second = {rate}.0\n[nodes]\ncores = 1\n"
            );
            ask(&text).nodes_needed.unwrap()
        };
        let needed = [20, 60, 120, 200].map(nodes);
        assert!(needed.is_sorted(), "{needed:?}");
        assert!(needed[3] >= 4, "{needed:?}");
    }

    #[test]
    fn what_no_number_of_nodes_can_do_is_said() {
        // A single mint takes longer than the storm allows.
        let text = "[fleet]\nvms = 100\n[storm]\nvms = 100\nwithin = \"1s\"\np99 = \"100us\"\n\
                    [nodes]\ncores = 1\n";
        assert_eq!(ask(text).nodes_needed, None);
    }

    #[test]
    fn a_node_that_is_asked_for_far_too_much_is_played_to_an_end() {
        let text = "[fleet]\nvms = 1000000\nuncached-per-second = 1000.0\n\
                    [nodes]\ncores = 1\ncount = 1\nlost = 0\n";
        let forecast = ask(text);
        assert_eq!(forecast.nodes_needed, None);
        assert!(forecast.steady.utilisation.mean > 0.9, "{forecast:?}");
    }

    #[test]
    fn callers_that_find_their_token_do_not_hide_those_that_end_without_one() {
        let storm =
            "[storm]\nvms = 200\nwithin = \"20ms\"\np99 = \"1s\"\n[kits]\nmsal-python = 1.0\n";
        let share = |uncached: u32| {
            let text = format!(
                "[fleet]\nvms = 200\nuncached-per-second = {uncached}.0\n{storm}\
                 [nodes]\ncores = 1\ncount = 1\nlost = 0\nmint-queue = 1\n"
            );
            ask(&text).storm.unwrap().gave_up_share.mean
        };
        let (alone, beside) = (share(0), share(200));
        assert!(alone > 0.5 && beside > alone * 0.8, "{alone} {beside}");
    }

    #[test]
    fn headroom_is_negative_where_the_rest_is_too_few() {
        let text =
            "[fleet]\nvms = 1000\nuncached-per-second = 80.0\n[nodes]\ncores = 1\ncount = 2\n";
        let forecast = ask(text);
        assert!(forecast.headroom_lost < 0.0, "{}", forecast.headroom_lost);
        assert_eq!(forecast.nodes, 2);
    }
}
