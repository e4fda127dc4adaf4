//! Changes to the broker under load, and checks that its answers kept up with them.
//!
//! Threads beside the broker make the changes; the generator runs as it would without them.
//! Identities, keys and certificates are changed over the network, as by an administrator. An
//! outage kills a process.

mod churn;
pub(super) mod needs;
pub mod outage;
mod pace;
mod rotation;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use self::churn::Churner;
use self::outage::{Outage, Source};
use self::pace::{Pace, Paced, Panicked};
pub use self::rotation::Admin;
use self::rotation::{Poller, Roller, Rotator};
use crate::base::clock::Monotonic;
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::url::HttpUrl;
use crate::harness::judge::changes::{ChangesReport, ChangesVerdict, RotationVerdict};
use crate::harness::judge::ledger::{Judgement, Ledger};
use crate::harness::judge::verify::Identities;
use crate::harness::judge::verify::key_timeline::KeyTimeline;
use crate::harness::judge::verify::keys::Keys;
use crate::harness::machine::cores;
use crate::harness::nanos::Nanos;
use crate::harness::record::observer::{Observation, Observer};
use crate::harness::record::sample::Sampled;
use crate::harness::record::writes::Writes;
use crate::harness::scenario::changes::Changes;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::schedule::timeline::Epoch;

/// Time from one read of the published keys to the next.
const POLL_EVERY: Nanos = Nanos::from_millis(200);

/// Failure to make changes.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// A thread for the changes could not be started.
    #[error("cannot start a thread that makes changes")]
    Spawn(#[from] std::io::Error),
    /// A thread ended without a report.
    #[error("a thread that makes changes died; its panic message is above")]
    Died,
}

impl From<Panicked> for ChangesError {
    fn from(Panicked: Panicked) -> Self {
        Self::Died
    }
}

/// Endpoints that the changes use; `None` for an endpoint that the broker does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoints<'a> {
    pub(super) arm: Option<&'a HttpUrl>,
    pub(super) sts: &'a HttpUrl,
    pub(super) admin: Option<&'a Admin>,
}

/// Threads that make changes, and threads that watch.
#[derive(Debug)]
pub(super) struct RunningChanges(Threads);

#[derive(Debug)]
enum Threads {
    Nothing,
    Churn {
        churner: Paced<Churner>,
        judge: JoinHandle<Judgement>,
        observer: Observer,
        ledger: Arc<Ledger>,
    },
    Outage(Paced<Outage>),
    Rotate {
        rotator: Paced<Rotator>,
        roller: Paced<Roller>,
        poller: Paced<Poller>,
    },
}

impl Threads {
    fn of_churn(
        plan: &RunPlan,
        arm: &HttpUrl,
        clock: Monotonic,
        per_second: u32,
    ) -> std::io::Result<Self> {
        let ledger = Arc::new(Ledger::new(clock));
        let (batches, noted) = channel();
        let gap = Nanos::SECOND / u64::from(per_second.max(1));
        let pace = Pace { first: Nanos::ZERO, gap };
        let churner = Churner::new(arm.clone(), plan.world, Arc::clone(&ledger), clock, plan.seed);
        Ok(Self::Churn {
            churner: Paced::start(pace, plan.cores.broker, clock, churner, Churner::change)?,
            judge: judge(Arc::clone(&ledger), noted)?,
            observer: Observer::new(Churner::vms(&plan.world), batches),
            ledger,
        })
    }

    fn of_rotation(
        plan: &RunPlan,
        sts: &HttpUrl,
        admin: &Admin,
        clock: Monotonic,
        rotations: u32,
    ) -> std::io::Result<Self> {
        let core = plan.cores.broker;
        let gap = plan.duration / u64::from(rotations.max(1));
        let pace = Pace { first: gap / 2, gap };
        let rotator = Rotator::new(admin.clone(), clock, rotations);
        let polls = Pace { first: Nanos::ZERO, gap: POLL_EVERY };
        let poller = Poller::new(Keys::url_of_tenant(sts, &plan.world), clock);
        let poller = Paced::start(polls, core, clock, poller, Poller::poll)?;
        // Before the load: the first token needs a key set that was read before it.
        poller.begin();
        let rotator = Paced::start(pace, core, clock, rotator, Rotator::rotate)?;
        // Early enough that many tokens are requested with the new certificates.
        let once = Pace { first: plan.duration / 3, gap: Nanos::ZERO };
        let roller = Roller::new(admin.clone());
        let roller = Paced::start(once, core, clock, roller, Roller::roll)?;
        Ok(Self::Rotate { rotator, roller, poller })
    }
}

impl RunningChanges {
    /// Starts the threads that the plan needs. The changes begin with [`RunningChanges::begin`].
    ///
    /// # Errors
    /// Returns an error when a thread cannot be started.
    pub(super) fn start(
        plan: &RunPlan,
        endpoints: Option<Endpoints<'_>>,
        source: Option<Source>,
        clock: Monotonic,
    ) -> Result<Self, ChangesError> {
        if let (Changes::Outage { from, length }, Some(source)) = (plan.changes, source) {
            let pace = Pace { first: from, gap: length };
            let outage = Outage::new(source, clock);
            let outage = Paced::start(pace, plan.cores.broker, clock, outage, Outage::act)?;
            return Ok(Self(Threads::Outage(outage)));
        }
        let threads = match (plan.changes, endpoints) {
            (Changes::Churn { per_second }, Some(Endpoints { arm: Some(arm), .. })) => {
                Threads::of_churn(plan, arm, clock, per_second)?
            }
            (Changes::Rotate { rotations }, Some(Endpoints { sts, admin: Some(admin), .. })) => {
                Threads::of_rotation(plan, sts, admin, clock, rotations)?
            }
            _ => Threads::Nothing,
        };
        Ok(Self(threads))
    }

    /// Returns the observer to which the generator's threads report answers, if the changes need
    /// one.
    pub(super) fn observer(&self) -> Option<Observer> {
        match &self.0 {
            Threads::Churn { observer, .. } => Some(observer.clone()),
            Threads::Nothing | Threads::Outage(_) | Threads::Rotate { .. } => None,
        }
    }

    /// Starts the changes.
    pub(crate) fn begin(&self) {
        match &self.0 {
            Threads::Nothing => {}
            Threads::Churn { churner, .. } => churner.begin(),
            Threads::Outage(outage) => outage.begin(),
            Threads::Rotate { rotator, roller, .. } => {
                rotator.begin();
                roller.begin();
            }
        }
    }

    /// Ends the changes. The caller must have dropped every copy of the observer.
    ///
    /// # Errors
    /// Returns an error when a thread has panicked.
    pub(super) fn finish(self) -> Result<FinishedChanges, ChangesError> {
        match self.0 {
            Threads::Nothing => Ok(FinishedChanges::Nothing),
            Threads::Churn { churner, judge, observer, ledger } => {
                let churner = churner.finish()?;
                drop(observer);
                let judgement = judge.join().map_err(|_| ChangesError::Died)?;
                let judgement = Judgement { removals: churner.removals, ..judgement };
                Ok(FinishedChanges::Churn { writes: churner.writes, judgement, ledger })
            }
            Threads::Outage(outage) => {
                let mut outage = outage.finish()?;
                // The run may have ended during the outage, but the keys must still be read.
                outage.come_back();
                let (down, writes) = (outage.down, outage.writes.clone());
                Ok(FinishedChanges::Outage { writes, down, source: Box::new(outage.into_source()) })
            }
            Threads::Rotate { rotator, roller, poller } => {
                let (rotator, roller) = (rotator.finish()?, roller.finish()?);
                let mut poller = poller.finish()?;
                // One more read: the last token needs a key set that was read after it.
                let _ = poller.poll();
                let Rotator { mut writes, rotations, .. } = rotator;
                let certificates = roller.rolled.unwrap_or_else(|reason| {
                    writes.failed(reason);
                    0
                });
                let unread = poller.failures;
                let timeline = KeyTimeline { fetched: poller.fetched, rotations };
                Ok(FinishedChanges::Rotate { writes, timeline, certificates, unread })
            }
        }
    }
}

/// Judges the answers that the generator's threads send, until all have hung up.
fn judge(
    ledger: Arc<Ledger>,
    noted: Receiver<Vec<Observation>>,
) -> std::io::Result<JoinHandle<Judgement>> {
    std::thread::Builder::new().name("judge".to_owned()).spawn(move || {
        cores::yield_to_all();
        let mut judgement = Judgement::default();
        for batch in noted {
            ledger.judge(&batch, &mut judgement);
        }
        judgement
    })
}

/// Results of the changes, and the data for judging the answers.
#[derive(Debug)]
pub(super) enum FinishedChanges {
    Nothing,
    Churn {
        writes: Writes,
        judgement: Judgement,
        ledger: Arc<Ledger>,
    },
    /// The source keeps running until the keys have been read from it.
    Outage {
        writes: Writes,
        down: Nanos,
        source: Box<Source>,
    },
    Rotate {
        writes: Writes,
        timeline: KeyTimeline,
        certificates: u64,
        unread: u64,
    },
}

impl FinishedChanges {
    /// Returns the identities that our broker's tokens must belong to.
    pub(crate) fn identities<'a>(&'a self, world: &'a Synthetic) -> Identities<'a> {
        match self {
            Self::Churn { ledger, .. } => Identities::Changing(world, ledger),
            Self::Nothing | Self::Outage { .. } | Self::Rotate { .. } => Identities::Fixed(world),
        }
    }

    /// Returns every key that was published during the run, if the keys were polled.
    pub(super) fn keys(&self) -> Option<Keys> {
        match self {
            Self::Rotate { timeline, .. } => Some(timeline.keys()),
            Self::Nothing | Self::Churn { .. } | Self::Outage { .. } => None,
        }
    }

    /// Returns the report on the changes; `None` without changes.
    pub(super) fn report(self, samples: &[Sampled], epoch: Epoch) -> Option<ChangesReport> {
        match self {
            Self::Nothing => None,
            Self::Churn { writes, judgement, .. } => {
                Some(ChangesReport { writes, verdict: ChangesVerdict::Churn(judgement) })
            }
            Self::Outage { writes, down, source } => {
                drop(source);
                Some(ChangesReport { writes, verdict: ChangesVerdict::Outage { down } })
            }
            Self::Rotate { writes, timeline, certificates, unread } => {
                let keys = timeline.judge(samples, epoch);
                let rotated = RotationVerdict { keys, certificates, unread };
                Some(ChangesReport { writes, verdict: ChangesVerdict::Rotation(rotated) })
            }
        }
    }
}

#[cfg(test)]
mod tests;
