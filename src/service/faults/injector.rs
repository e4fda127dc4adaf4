//! The faults of a server: the plan in force, and what it has done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::asked::Asked;
use super::choice::Active;
use super::document::{Endpoint, Fault, FaultPlan, Rule};
use super::wait::Waits;
use crate::base::clock::Monotonic;
use crate::base::http::LogRate;
use crate::service::token::TokenBreaker;

/// The faults of a server.
#[derive(Debug)]
pub(crate) struct Faults {
    is_on: AtomicBool,
    active: RwLock<Option<Arc<Active>>>,
    clock: Monotonic,
    pub(super) waits: Waits,
    /// Maker of broken tokens; `None` if this server may make none.
    pub(super) breaker: Option<Arc<TokenBreaker>>,
    counts: Mutex<BTreeMap<(Endpoint, &'static str), u64>>,
    lines: Mutex<LogRate>,
}

/// Burst of log lines about faults, after which there is one a second.
const LINES_BURST: u64 = 1000;

impl Default for Faults {
    fn default() -> Self {
        Self::new(None)
    }
}

/// Number of faults since the start, for the metrics.
#[derive(Debug)]
pub(crate) struct FaultCounts {
    /// Injected faults by endpoint and kind.
    pub injected: Vec<(&'static str, &'static str, u64)>,
    /// Faults that were left out because too many requests were waiting.
    pub left_out: u64,
}

/// Reason why a plan is not accepted by this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanRefused {
    /// The server signs no broken tokens.
    #[error(
        "only a server for tests breaks tokens, with its own keys; start it with --test-tools and without --token-source"
    )]
    BrokenTokens,
}

impl Faults {
    /// Creates faults without a plan. Without a `breaker`, no plan may break tokens.
    pub(crate) fn new(breaker: Option<Arc<TokenBreaker>>) -> Self {
        Self {
            is_on: AtomicBool::new(false),
            active: RwLock::default(),
            clock: Monotonic::start(),
            waits: Waits::default(),
            breaker,
            counts: Mutex::default(),
            lines: Mutex::new(LogRate::new(LINES_BURST, 1)),
        }
    }

    /// Returns true if there is a plan. It is the one look that a request costs without a plan.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Replaces the plan. Times of the new one count from now, and waits of the old one end.
    ///
    /// # Errors
    /// Returns `BrokenTokens` when this server makes no such tokens.
    pub(crate) fn set(&self, plan: FaultPlan) -> Result<(), PlanRefused> {
        let breaks_tokens = |rule: &Rule| matches!(rule.fault, Fault::Token { .. });
        if self.breaker.is_none() && plan.rules.iter().any(breaks_tokens) {
            return Err(PlanRefused::BrokenTokens);
        }
        tracing::warn!(rules = plan.rules.len(), "faults are injected on purpose");
        self.replace(Some(Active::new(plan, self.clock.now_ns())));
        Ok(())
    }

    /// Removes the plan, and ends all waits.
    pub(crate) fn clear(&self) {
        self.replace(None);
    }

    fn replace(&self, active: Option<Active>) {
        let is_on = active.is_some();
        *self.active.write() = active.map(Arc::new);
        self.is_on.store(is_on, Ordering::Relaxed);
        self.waits.release();
    }

    /// Returns the plan.
    pub(crate) fn plan(&self) -> Option<FaultPlan> {
        self.active.read().as_ref().map(|active| active.plan.clone())
    }

    /// Returns the fault for a request. Counts it, and writes it to the log.
    pub(super) fn choose(&self, endpoint: Endpoint, asked: &Asked) -> Option<Fault> {
        let active = self.active.read().clone()?;
        let now_ns = self.clock.now_ns();
        let (rule, fault) = active.choose(endpoint, asked, now_ns)?;
        *self.counts.lock().entry((endpoint, fault.kind())).or_default() += 1;
        if let Some(left_out) = self.lines.lock().admit(now_ns) {
            let (surface, kind, caller) = (endpoint.name(), fault.kind(), asked.caller());
            tracing::info!(
                surface,
                kind,
                rule,
                caller,
                left_out,
                "a fault was injected on purpose"
            );
        }
        Some(fault)
    }

    /// Returns the counts since the start.
    pub(crate) fn counts(&self) -> FaultCounts {
        let counts = self.counts.lock();
        let injected =
            counts.iter().map(|((endpoint, kind), count)| (endpoint.name(), *kind, *count));
        FaultCounts { injected: injected.collect(), left_out: self.waits.left_out() }
    }
}
