//! The choice of the fault for a request.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::asked::Asked;
use super::document::{Endpoint, Fault, FaultPlan, Rule};
use crate::base::synthetic::draw;

/// Greatest number of callers whose requests a rule counts one by one. All others share one count.
const CALLERS_MAX: usize = 65_536;

/// A plan in force.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) plan: FaultPlan,
    since_ns: u64,
    /// Counts of each rule.
    counts: Vec<Mutex<Counts>>,
}

/// Counts of a rule by caller.
type Counts = HashMap<String, Count>;

/// Requests of one caller to which a rule applied.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    seen: u64,
    hit: u64,
}

impl Active {
    pub(super) fn new(plan: FaultPlan, since_ns: u64) -> Self {
        let counts = plan.rules.iter().map(|_| Mutex::default()).collect();
        Self { plan, since_ns, counts }
    }

    /// Returns the fault for a request, with the position of its rule.
    pub(super) fn choose(
        &self,
        endpoint: Endpoint,
        asked: &Asked,
        now_ns: u64,
    ) -> Option<(usize, Fault)> {
        let age_ns = u128::from(now_ns.saturating_sub(self.since_ns));
        let mut rules = self.plan.rules.iter().zip(&self.counts).enumerate();
        let (position, (rule, _)) = rules.find(|(position, (rule, counts))| {
            rule.applies(endpoint, asked, age_ns) && self.hits(*position, rule, counts, asked)
        })?;
        Some((position, rule.fault.clone()))
    }

    /// Counts a request to which a rule applies, and draws whether it is hit.
    fn hits(&self, position: usize, rule: &Rule, counts: &Mutex<Counts>, asked: &Asked) -> bool {
        let mut counts = counts.lock();
        let is_known = counts.len() < CALLERS_MAX || counts.contains_key(asked.caller());
        let caller = if is_known { asked.caller() } else { "" };
        let count = counts.entry(caller.to_owned()).or_default();
        let seed = self.plan.seed.wrapping_add(position as u64);
        let is_drawn = draw(seed, caller.as_bytes(), count.seen) < rule.share;
        count.seen += 1;
        let is_hit = is_drawn && rule.count.is_none_or(|most| count.hit < most.get());
        count.hit += u64::from(is_hit);
        is_hit
    }
}

impl Rule {
    fn applies(&self, endpoint: Endpoint, asked: &Asked, age_ns: u128) -> bool {
        self.endpoint == endpoint
            && self.from.is_none_or(|from| from.0.as_nanos() <= age_ns)
            && self.until.is_none_or(|until| age_ns < until.0.as_nanos())
            && asked.is_of(&self.vms, &self.identities, &self.resources)
            && (asked.wants_token || !matches!(self.fault, Fault::Token { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(rules: &str) -> Active {
        Active::new(FaultPlan::parse("plan.toml", rules).unwrap(), 1_000_000_000)
    }

    fn asked(vm: &str) -> Asked {
        Asked { vm: vec![vm.to_owned()], ..Asked::default() }
    }

    /// Returns which of the next requests of a machine are hit, and by which rule.
    fn drawn(active: &Active, vm: &str, count: usize) -> Vec<Option<usize>> {
        let choose = |_| active.choose(Endpoint::Imds, &asked(vm), 1_000_000_000);
        (0..count).map(|at| choose(at).map(|(rule, _)| rule)).collect()
    }

    const HALF: &str =
        "seed = 7\n[[rules]]\nendpoint = 'imds'\nshare = 0.5\nfault = { kind = 'reset' }";

    #[test]
    fn the_same_seed_and_order_give_the_same_faults_whatever_other_machines_do() {
        let alone = active(HALF);
        let first = drawn(&alone, "a", 100);
        let crowd = active(HALF);
        let mut second = Vec::new();
        for _ in 0..100 {
            drawn(&crowd, "b", 3);
            second.extend(drawn(&crowd, "a", 1));
        }
        assert_eq!(first, second);
        let hits = first.iter().flatten().count();
        assert!((30..70).contains(&hits), "{hits}");
        assert_ne!(first, drawn(&active(HALF), "b", 100));
        assert_ne!(first, drawn(&active(&HALF.replace('7', "8")), "a", 100));
    }

    #[test]
    fn a_count_limits_the_faults_of_each_machine_and_the_next_rule_takes_over() {
        let active = active(
            "[[rules]]\nendpoint = 'imds'\ncount = 2\nfault = { kind = 'reset' }\n\
             [[rules]]\nendpoint = 'imds'\nvms = ['A']\nfault = { kind = 'hang' }",
        );
        assert_eq!(drawn(&active, "a", 4), [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(drawn(&active, "b", 3), [Some(0), Some(0), None]);
        assert!(active.choose(Endpoint::Sts, &asked("a"), 1_000_000_000).is_none());
    }

    #[test]
    fn a_rule_holds_from_its_beginning_until_its_end() {
        let active = active(
            "[[rules]]\nendpoint = 'imds'\nfrom = '10s'\nuntil = '80s'\nfault = { kind = 'status', status = 410 }",
        );
        let at = |second: u64| {
            active.choose(Endpoint::Imds, &asked("a"), (second + 1) * 1_000_000_000).is_some()
        };
        assert_eq!([0, 9, 10, 79, 80].map(at), [false, false, true, true, false]);
    }

    #[test]
    fn callers_beyond_the_limit_share_a_count() {
        let active = active("[[rules]]\nendpoint = 'imds'\nfault = { kind = 'reset' }");
        for caller in 0..CALLERS_MAX + 100 {
            drawn(&active, &format!("vm-{caller}"), 1);
        }
        let counts = active.counts[0].lock();
        assert_eq!(counts.len(), CALLERS_MAX + 1);
        assert_eq!(counts[""].seen, 100);
    }
}
