//! Naive model of the limits of machines: how many requests of each were admitted in this second, and are on their way.

use std::collections::{HashMap, HashSet};

use mintbench::base::ids::VmId;
use mintbench::service::broker::TokenError;
use mintbench::service::world::{Limits, Throttled};

/// Requests of the machines of one process.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    second: u64,
    /// Requests that were admitted in this second.
    counts: HashMap<VmId, u32>,
    /// Requests on their way, by number.
    on_their_way: HashMap<usize, VmId>,
    /// Machines of which not everything is known, because they changed while they asked.
    unsure: HashSet<VmId>,
}

impl Admitted {
    /// Notes a request that has begun, and returns what is wrong with its admission. `vm` is the machine that asks, if it
    /// is certain; `refusal` is the error that it got at once.
    pub(crate) fn begin(
        &mut self,
        (number, vm): (usize, VmId),
        (second, is_certain): (u64, bool),
        refusal: Option<&TokenError>,
        limits: Limits,
    ) -> Option<String> {
        if second > self.second {
            (self.second, self.counts) = (second, HashMap::new());
        }
        if !is_certain {
            self.unsure.insert(vm);
        }
        let on_their_way = self.on_their_way.values().filter(|own| **own == vm).count() as u64;
        let count = self.counts.entry(vm).or_default();
        let (rate, concurrent) = (limits.identity.get(), u64::from(limits.concurrent.get()));
        let is_right = match refusal {
            Some(TokenError::Throttled(Throttled::Rate { .. })) => *count >= rate,
            Some(TokenError::Throttled(Throttled::Concurrent(_))) => on_their_way >= concurrent,
            Some(TokenError::UnknownCaller) => true,
            _ => {
                *count += 1;
                *count <= rate && on_their_way < concurrent
            }
        };
        if refusal.is_none() {
            self.on_their_way.insert(number, vm);
        }
        let admitted = *self.counts.entry(vm).or_default();
        (!is_right && !self.unsure.contains(&vm)).then(|| {
            format!(
                "{refusal:?} for a machine with {admitted} requests in this second, of {rate}, and {on_their_way} on \
                 their way, of {concurrent}"
            )
        })
    }

    /// Notes that a request is answered, or that its caller has gone.
    pub(crate) fn end(&mut self, number: usize) {
        self.on_their_way.remove(&number);
    }
}
