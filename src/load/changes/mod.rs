//! What is changed at the broker while the load goes on, and whether its answers kept up with that.
//!
//! Changes are made by threads of their own, beside the broker's; the generator goes on as it would
//! without them. Everything is changed over the network, as an administrator would.

mod churn;
pub mod ledger;
mod pace;
mod rotation;
pub(super) mod witness;
pub mod writes;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use self::churn::Churner;
use self::ledger::{Judgement, Ledger};
use self::pace::{Pace, Paced, Panicked};
use self::rotation::{Poller, Rotator};
use self::witness::{Seen, Witness};
use self::writes::Writes;
use super::cores;
use super::fleet::Epoch;
use super::generator::Plan;
use super::sample::Sampled;
use super::target::HttpUrl;
use super::verify::moment::{Moments, Published};
use super::verify::{Identities, Keys};
use crate::clock::Monotonic;
use crate::world::synthetic::Synthetic;

/// What is changed during the measured part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    None,
    /// Identities are taken from VMs and given back.
    Churn {
        /// Changes per second, at most.
        per_second: u32,
    },
    /// The signing keys are rotated.
    Rotate {
        /// How often, at even distances.
        rotations: u32,
    },
}

/// Tokens of a rotating run live this long, in seconds, and are renewed at half of that: enough of
/// them are signed by each key.
pub const ROTATING_TOKEN_LIFETIME_SECONDS: u32 = 4;
/// How often the published keys are read.
const POLL_EVERY_NS: u64 = 200_000_000;

impl Changes {
    /// What `serve` has to be told for it; `data` is where it may keep its world.
    pub fn serve_args(self, data: &Path) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Churn { .. } => {
                let data = data.display().to_string();
                // Nobody but this process can reach it, and it measures the change, not the caller.
                ["--arm-auth", "off", "--data", &data].map(str::to_owned).to_vec()
            }
            Self::Rotate { .. } => {
                let lifetime = format!("{ROTATING_TOKEN_LIFETIME_SECONDS}s");
                ["--token-lifetime", &lifetime, "--refresh-at", "0.5"].map(str::to_owned).to_vec()
            }
        }
    }
}

/// Why changes cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// There is no thread for them.
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

/// Where changes are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    pub(super) arm: Option<&'a HttpUrl>,
    pub(super) sts: &'a HttpUrl,
    pub(super) admin: &'a HttpUrl,
}

/// The threads that make changes, and those that watch.
#[derive(Debug)]
pub(super) struct Underway(Threads);

#[derive(Debug)]
enum Threads {
    Nothing,
    Churn {
        churner: Paced<Churner>,
        judge: JoinHandle<Judgement>,
        witness: Witness,
        ledger: Arc<Ledger>,
    },
    Rotate {
        rotator: Paced<Rotator>,
        poller: Paced<Poller>,
    },
}

impl Underway {
    /// Starts what the plan says; changes begin with [`Underway::begin`].
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn start(
        plan: &Plan,
        places: Option<Places<'_>>,
        clock: Monotonic,
    ) -> Result<Self, ChangesError> {
        let core = plan.cores.broker;
        let threads = match (plan.changes, places) {
            (Changes::Churn { per_second }, Some(Places { arm: Some(arm), .. })) => {
                let ledger = Arc::new(Ledger::new(clock));
                let (batches, noted) = channel();
                let gap_ns = 1_000_000_000 / u64::from(per_second.max(1));
                let pace = Pace { first_ns: 0, gap_ns };
                let churner =
                    Churner::new(arm.clone(), plan.world, Arc::clone(&ledger), clock, plan.seed);
                Threads::Churn {
                    churner: Paced::start(pace, core, clock, churner, Churner::change)?,
                    judge: judge(Arc::clone(&ledger), noted)?,
                    witness: Witness::new(Churner::vms(&plan.world), batches),
                    ledger,
                }
            }
            (Changes::Rotate { rotations }, Some(Places { sts, admin, .. })) => {
                let gap_ns = plan.duration_ns / u64::from(rotations.max(1));
                let pace = Pace { first_ns: gap_ns / 2, gap_ns };
                let rotator = Rotator::new(admin.clone(), clock, rotations);
                let polls = Pace { first_ns: 0, gap_ns: POLL_EVERY_NS };
                let poller = Poller::new(Keys::url_of_tenant(sts, &plan.world), clock);
                let poller = Paced::start(polls, core, clock, poller, Poller::poll)?;
                // Before the load: the first token needs a set that was read before.
                poller.begin();
                let rotator = Paced::start(pace, core, clock, rotator, Rotator::rotate)?;
                Threads::Rotate { rotator, poller }
            }
            _ => Threads::Nothing,
        };
        Ok(Self(threads))
    }

    /// Who has to be told of the answers.
    pub(super) fn witness(&self) -> Option<Witness> {
        match &self.0 {
            Threads::Churn { witness, .. } => Some(witness.clone()),
            Threads::Nothing | Threads::Rotate { .. } => None,
        }
    }

    /// Lets the changes begin.
    pub(super) fn begin(&self) {
        match &self.0 {
            Threads::Nothing => {}
            Threads::Churn { churner, .. } => churner.begin(),
            Threads::Rotate { rotator, .. } => rotator.begin(),
        }
    }

    /// Ends the changes; every copy of the witness must be gone by now.
    ///
    /// # Errors
    /// When a thread has panicked.
    pub(super) fn finish(self) -> Result<Changed, ChangesError> {
        match self.0 {
            Threads::Nothing => Ok(Changed::Nothing),
            Threads::Churn { churner, judge, witness, ledger } => {
                let churner = churner.finish()?;
                drop(witness);
                let judgement = judge.join().map_err(|_| ChangesError::Died)?;
                let judgement = Judgement { removals: churner.removals, ..judgement };
                Ok(Changed::Churn { writes: churner.writes, judgement, ledger })
            }
            Threads::Rotate { rotator, poller } => {
                let (rotator, mut poller) = (rotator.finish()?, poller.finish()?);
                // Once more: the last token needs a set that was read after it.
                let _ = poller.poll();
                let Rotator { mut writes, rotations, .. } = rotator;
                writes.unread = poller.failures;
                let published = Published { fetched: poller.fetched, rotations };
                Ok(Changed::Rotate { writes, published })
            }
        }
    }
}

/// Judges what the generator's threads hand over until all have hung up.
fn judge(
    ledger: Arc<Ledger>,
    noted: Receiver<Vec<Seen>>,
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

/// What was changed, and what the answers are to be judged by.
#[derive(Debug)]
pub(super) enum Changed {
    Nothing,
    Churn { writes: Writes, judgement: Judgement, ledger: Arc<Ledger> },
    Rotate { writes: Writes, published: Published },
}

impl Changed {
    /// Whose the tokens of our broker must be.
    pub(super) fn identities<'a>(&'a self, world: &'a Synthetic) -> Identities<'a> {
        match self {
            Self::Churn { ledger, .. } => Identities::Changing(world, ledger),
            Self::Nothing | Self::Rotate { .. } => Identities::Of(world),
        }
    }

    /// Every key that was published meanwhile, if that was watched.
    pub(super) fn keys(&self) -> Option<Keys> {
        match self {
            Self::Rotate { published, .. } => Some(published.keys()),
            Self::Nothing | Self::Churn { .. } => None,
        }
    }

    /// What there is to say of it.
    pub(super) fn report(self, samples: &[Sampled], epoch: Epoch) -> Option<Report> {
        match self {
            Self::Nothing => None,
            Self::Churn { writes, judgement, .. } => {
                Some(Report { writes, truth: Truth::Churn(judgement) })
            }
            Self::Rotate { writes, published } => {
                let moments = published.judge(samples, epoch);
                Some(Report { writes, truth: Truth::Rotate(moments) })
            }
        }
    }
}

/// The changes of a run and what they showed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The requests that changed something.
    pub writes: Writes,
    /// Whether the answers kept up.
    pub truth: Truth,
}

/// What was found of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Of those to VMs that lost and got identities.
    Churn(Judgement),
    /// Of the sampled ones, signed by changing keys.
    Rotate(Moments),
}

#[cfg(test)]
mod tests;
