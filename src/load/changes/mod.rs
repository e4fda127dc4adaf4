//! What is changed at the broker while the load goes on, and whether its answers kept up with that.
//!
//! Changes are made by threads of their own, beside the broker's; the generator goes on as it would
//! without them. Everything is changed over the network, as an administrator would.

mod churn;
pub mod ledger;
pub mod outage;
mod pace;
mod rotation;
pub(super) mod witness;
pub mod writes;

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use tempfile::TempDir;

use self::churn::Churner;
use self::ledger::{Judgement, Ledger};
use self::outage::{Outage, Source};
use self::pace::{Pace, Paced, Panicked};
pub use self::rotation::Admin;
use self::rotation::{Poller, Roller, Rotator};
use self::witness::{Seen, Witness};
use self::writes::Writes;
use super::cores;
use super::fleet::Epoch;
use super::plan::Plan;
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
    /// The token service that our broker asks is killed, and started again.
    Outage {
        /// When it goes, in nanoseconds from the start of the measured part.
        from_ns: u64,
        /// How long it stays away, in nanoseconds.
        length_ns: u64,
    },
    /// The signing keys are rotated, and the certificates of all identities rolled, once.
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
    /// What `serve` has to be told for it, and what it needs beside itself.
    ///
    /// # Errors
    /// When there is no folder, or no free port.
    pub(super) fn needs(self) -> std::io::Result<Needs> {
        match self {
            Self::None => Ok(Needs::default()),
            Self::Churn { .. } => {
                let folder = data_folder()?;
                let data = folder.path().display().to_string();
                // It listens on loopback, and what is measured is the change, not the check of who
                // asks for it.
                let args = ["--arm-auth", "off", "--data", &data].map(str::to_owned);
                Ok(Needs { args: args.to_vec(), data: Some(folder), source: None })
            }
            Self::Outage { .. } => {
                let (address, folder) = (free_address()?, data_folder()?);
                let args = ["--token-source".to_owned(), format!("http://{address}")];
                let source = Some((address, folder));
                Ok(Needs { args: args.to_vec(), data: None, source })
            }
            Self::Rotate { .. } => {
                // The broker asks its own token service, over HTTP, so that certificates are used.
                let sts = free_address()?.to_string();
                let source = format!("http://{sts}");
                let lifetime = format!("{ROTATING_TOKEN_LIFETIME_SECONDS}s");
                let args = ["--sts", &sts, "--token-source", &source];
                let tokens = ["--token-lifetime", &lifetime, "--refresh-at", "0.5"];
                // What is read in between shows whether a key signed that was not published.
                let keys = ["--signing-key-min-distance", "0s"];
                let args = args.into_iter().chain(tokens).chain(keys).map(str::to_owned).collect();
                Ok(Needs { args, data: None, source: None })
            }
        }
    }
}

/// What a broker needs for the changes of a run.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Arguments of `serve`.
    pub(super) args: Vec<String>,
    /// Where it keeps its world.
    pub(super) data: Option<TempDir>,
    /// Where the token service that it asks is to listen, and where that may keep its files.
    pub(super) source: Option<(SocketAddr, TempDir)>,
}

/// A folder that only its owner may read.
fn data_folder() -> std::io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("mintbench-run-").permissions(Permissions::from_mode(0o700)).tempdir()
}

/// An address whose port was free just now: the broker has to know it before it listens there.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
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

/// Where changes are made; none where none are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    pub(super) arm: Option<&'a HttpUrl>,
    pub(super) sts: &'a HttpUrl,
    pub(super) admin: Option<&'a Admin>,
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
    Outage(Paced<Outage>),
    Rotate {
        rotator: Paced<Rotator>,
        roller: Paced<Roller>,
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
        source: Option<Source>,
        clock: Monotonic,
    ) -> Result<Self, ChangesError> {
        let core = plan.cores.broker;
        if let (Changes::Outage { from_ns, length_ns }, Some(source)) = (plan.changes, source) {
            let pace = Pace { first_ns: from_ns, gap_ns: length_ns };
            let outage = Outage::new(source, clock);
            let outage = Paced::start(pace, core, clock, outage, Outage::act)?;
            return Ok(Self(Threads::Outage(outage)));
        }
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
            (Changes::Rotate { rotations }, Some(Places { sts, admin: Some(admin), .. })) => {
                let gap_ns = plan.duration_ns / u64::from(rotations.max(1));
                let pace = Pace { first_ns: gap_ns / 2, gap_ns };
                let rotator = Rotator::new(admin.clone(), clock, rotations);
                let polls = Pace { first_ns: 0, gap_ns: POLL_EVERY_NS };
                let poller = Poller::new(Keys::url_of_tenant(sts, &plan.world), clock);
                let poller = Paced::start(polls, core, clock, poller, Poller::poll)?;
                // Before the load: the first token needs a set that was read before.
                poller.begin();
                let rotator = Paced::start(pace, core, clock, rotator, Rotator::rotate)?;
                // Early enough for many tokens to be got with the new certificates.
                let once = Pace { first_ns: plan.duration_ns / 3, gap_ns: 0 };
                let roller = Roller::new(admin.clone());
                let roller = Paced::start(once, core, clock, roller, Roller::roll)?;
                Threads::Rotate { rotator, roller, poller }
            }
            _ => Threads::Nothing,
        };
        Ok(Self(threads))
    }

    /// Who has to be told of the answers.
    pub(super) fn witness(&self) -> Option<Witness> {
        match &self.0 {
            Threads::Churn { witness, .. } => Some(witness.clone()),
            Threads::Nothing | Threads::Outage(_) | Threads::Rotate { .. } => None,
        }
    }

    /// Lets the changes begin.
    pub(super) fn begin(&self) {
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
            Threads::Outage(outage) => {
                let mut outage = outage.finish()?;
                // The run may have been over before; the keys are still to be read.
                outage.come_back();
                let (down_ns, writes) = (outage.down_ns, outage.writes.clone());
                Ok(Changed::Outage { writes, down_ns, source: Box::new(outage.into_source()) })
            }
            Threads::Rotate { rotator, roller, poller } => {
                let (rotator, roller) = (rotator.finish()?, roller.finish()?);
                let mut poller = poller.finish()?;
                // Once more: the last token needs a set that was read after it.
                let _ = poller.poll();
                let Rotator { mut writes, rotations, .. } = rotator;
                let certificates = roller.rolled.unwrap_or_else(|reason| {
                    writes.failed(reason);
                    0
                });
                let unread = poller.failures;
                let published = Published { fetched: poller.fetched, rotations };
                Ok(Changed::Rotate { writes, published, certificates, unread })
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
    Churn {
        writes: Writes,
        judgement: Judgement,
        ledger: Arc<Ledger>,
    },
    /// The source goes on until the keys have been read from it.
    Outage {
        writes: Writes,
        down_ns: u64,
        source: Box<Source>,
    },
    Rotate {
        writes: Writes,
        published: Published,
        certificates: u64,
        unread: u64,
    },
}

impl Changed {
    /// Whose the tokens of our broker must be.
    pub(super) fn identities<'a>(&'a self, world: &'a Synthetic) -> Identities<'a> {
        match self {
            Self::Churn { ledger, .. } => Identities::Changing(world, ledger),
            Self::Nothing | Self::Outage { .. } | Self::Rotate { .. } => Identities::Of(world),
        }
    }

    /// Every key that was published meanwhile, if that was watched.
    pub(super) fn keys(&self) -> Option<Keys> {
        match self {
            Self::Rotate { published, .. } => Some(published.keys()),
            Self::Nothing | Self::Churn { .. } | Self::Outage { .. } => None,
        }
    }

    /// What there is to say of it.
    pub(super) fn report(self, samples: &[Sampled], epoch: Epoch) -> Option<Report> {
        match self {
            Self::Nothing => None,
            Self::Churn { writes, judgement, .. } => {
                Some(Report { writes, truth: Truth::Churn(judgement) })
            }
            Self::Outage { writes, down_ns, source } => {
                drop(source);
                Some(Report { writes, truth: Truth::Outage { down_ns } })
            }
            Self::Rotate { writes, published, certificates, unread } => {
                let moments = published.judge(samples, epoch);
                let rotated = Rotated { moments, certificates, unread };
                Some(Report { writes, truth: Truth::Rotate(rotated) })
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
    /// Nothing that the general checks do not say; the token service was away meanwhile.
    Outage {
        /// How long, in nanoseconds.
        down_ns: u64,
    },
    /// Of the sampled ones, signed by changing keys.
    Rotate(Rotated),
}

/// What rotating the keys showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The sampled tokens beside the key sets of their moment.
    pub moments: Moments,
    /// Certificates of identities that were rolled.
    pub certificates: u64,
    /// Attempts to read the published keys that failed.
    pub unread: u64,
}

#[cfg(test)]
mod tests;
