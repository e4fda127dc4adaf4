//! Checks the answer of a plan against its own figures, for random fleets.

use proptest::prelude::*;

use super::super::*;
use crate::harness::plan::answer;
use crate::harness::plan::answer::Answer;
use crate::harness::plan::fit::Basis;
use crate::harness::plan::fleet_file::tests::parse;
use crate::harness::plan::simulate::service::Service;

/// Returns a fleet with slow work and few requests, whose busy minute is simulated within milliseconds.
#[derive(Clone, Debug)]
struct Random {
    vms: u32,
    uncached_per_second: f64,
    storm: Option<(u32, u64, u64)>,
    cores: usize,
    lanes: usize,
    lost: usize,
    mint_queue: u32,
    limit_ms: f64,
    seed: u64,
}

prop_compose! {
    fn random()(
        vms in 50_u32..600, uncached_per_second in 0.0..0.5_f64,
        storm in proptest::option::of((1_u32..50, 100_u64..2000, 60_u64..2000)),
        cores in 1_usize..4, lanes in 1_usize..4, lost in 0_usize..3, mint_queue in 4_u32..200,
        limit_ms in 5.0..200.0_f64, seed: u64,
    ) -> Random {
        Random { vms, uncached_per_second, storm, cores, lanes, lost, mint_queue, limit_ms, seed }
    }
}

const TARGET: f64 = 0.6;

impl Random {
    fn file(&self, count: Option<usize>) -> String {
        let Self { vms, uncached_per_second, cores, lanes, lost, mint_queue, .. } = self;
        let storm = self.storm.map_or(String::new(), |(vms, within_ms, p99_ms)| {
            format!("[storm]\nvms = {vms}\nwithin = \"{within_ms}ms\"\np99 = \"{p99_ms}ms\"\n")
        });
        let count = count.map_or(String::new(), |count| format!("count = {count}\n"));
        format!(
            "[fleet]\nvms = {vms}\nuncached-per-second = {uncached_per_second:.3}\n{storm}[kits]\n\
             go = 0.5\nmsal-python = 0.5\n[nodes]\ncores = {cores}\nlanes = {lanes}\nlost = {lost}\n\
             mint-queue = {mint_queue}\n{count}"
        )
    }

    fn forecast(&self, count: Option<usize>) -> Forecast {
        let fleet = parse(&self.file(count)).unwrap();
        let cost =
            |core_us| Cost { core_us, low_us: core_us, high_us: core_us, basis: Basis::Processor };
        let costs = Costs {
            hit: Service::Constant(2e6),
            mint: Service::Exponential(20e6),
            way: Service::Constant(0.0),
        };
        let question = Question {
            fleet: &fleet,
            costs: &costs,
            hit: cost(2000.0),
            mint: cost(22_000.0),
            memory: None,
            limit_ns: self.limit_ms * 1e6,
            quantile: 0.95,
            target: TARGET,
            replications: 3,
            seed: self.seed,
        };
        forecast(&question, &|_| ControlFlow::Continue(())).unwrap()
    }

    /// Returns true if the figures of a forecast meet every condition. Does not use the code that
    /// decides.
    fn is_met(&self, forecast: &Forecast) -> bool {
        let refuses = |of: &Situation| of.refused_share.mean > 0.0 || of.gave_up_share.mean > 0.0;
        let load =
            |of: &Situation| of.quantile_ms.high <= self.limit_ms && !of.growing && !refuses(of);
        let p99_ms = self.storm.map_or(f64::INFINITY, |(_, _, p99_ms)| {
            Duration::from_millis(p99_ms).as_secs_f64() * 1e3
        });
        let storm = |of: &Situation| {
            of.token_p99_ms.is_none_or(|token| token.high <= p99_ms) && !refuses(of)
        };
        let left = (forecast.nodes - self.lost as u64) * self.cores as u64;
        #[expect(clippy::cast_precision_loss, reason = "a few cores")]
        let used = forecast.demand.cores_busy / left as f64;
        used <= TARGET
            && load(&forecast.steady)
            && forecast.lost.as_ref().is_none_or(load)
            && forecast.storm.as_ref().is_none_or(storm)
            && forecast.storm_lost.as_ref().is_none_or(storm)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_number_of_nodes_meets_every_condition_and_one_fewer_misses_one(random in random()) {
        let forecast = random.forecast(None);
        let terms = answer::Terms { slo: "p95<1s", target: TARGET };
        let (answer, said) = answer::of_forecast(&forecast, terms);
        let Some(nodes) = forecast.nodes_needed else {
            prop_assert_eq!(answer, Answer::Impossible);
            prop_assert!(said[0].starts_with("No number of nodes"), "{:?}", said);
            prop_assert!(!forecast.fewer_missed.is_empty());
            return Ok(());
        };
        prop_assert!(random.is_met(&forecast), "{:?}", forecast);
        prop_assert_eq!(answer, Answer::Sufficient);
        prop_assert!(said[0].contains(&format!("{nodes} node")) && said[0].contains("the least"), "{:?}", said);
        let nodes = usize::try_from(nodes).unwrap();
        if nodes > random.lost + 1 {
            let fewer = random.forecast(Some(nodes - 1));
            prop_assert!(!random.is_met(&fewer), "{:?}", fewer);
            let (answer, said) = answer::of_forecast(&fewer, terms);
            prop_assert_eq!(answer, Answer::Insufficient);
            prop_assert!(said[0].contains("not enough") && said[1].contains("not enough: "), "{:?}", said);
        }
        // Two more nodes are also enough, unless the last percentile of a storm is mostly chance.
        let more = random.forecast(Some(nodes + 2));
        let (answer, _) = answer::of_forecast(&more, terms);
        prop_assert_eq!(answer == Answer::Sufficient, random.is_met(&more));
    }
}
