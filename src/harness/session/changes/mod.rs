//! Changes to the broker under load, and checks that its answers kept up with them.
//!
//! Threads beside the broker make the changes; the generator runs as it would without them.
//! Identities, keys and certificates are changed over the network, as by an administrator. An
//! outage kills a process.

mod churn;
pub mod outage;
mod pace;
mod rotation;
pub mod writes;

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use tempfile::TempDir;

use self::churn::Churner;
use self::outage::{Outage, Source};
use self::pace::{Pace, Paced, Panicked};
pub use self::rotation::Admin;
use self::rotation::{Poller, Roller, Rotator};
use self::writes::Writes;
use crate::base::clock::Monotonic;
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::target::HttpUrl;
use crate::harness::driver::fleet::Epoch;
use crate::harness::judge::ledger::{Judgement, Ledger};
use crate::harness::judge::verify::key_timeline::{Moments, Published};
use crate::harness::judge::verify::{Identities, Keys};
use crate::harness::machine::cores;
use crate::harness::record::observer::{Seen, Witness};
use crate::harness::record::sample::Sampled;
use crate::harness::scenario::plan::Plan;

/// Changes during the measured part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// No changes.
    None,
    /// Identities are removed from VMs and given back.
    Churn {
        /// Maximum number of changes per second.
        per_second: u32,
    },
    /// The token service that our broker asks is killed and started again.
    Outage {
        /// Start of the outage, in nanoseconds from the start of the measured part.
        from_ns: u64,
        /// Length of the outage in nanoseconds.
        length_ns: u64,
    },
    /// The signing keys are rotated, and the certificates of all identities are rolled once.
    Rotate {
        /// Number of key rotations, at even distances.
        rotations: u32,
    },
}

/// Token lifetime in a run that rotates keys, in seconds. Tokens are renewed at half of it, so that
/// each key signs enough of them.
pub const ROTATING_TOKEN_LIFETIME_SECONDS: u32 = 4;
/// Time from one read of the published keys to the next, in nanoseconds.
const POLL_EVERY_NS: u64 = 200_000_000;

impl Changes {
    /// Returns the arguments, folder and address that the broker needs for the changes.
    ///
    /// # Errors
    /// Returns an error when no folder can be made, or when no port is free.
    pub(crate) fn needs(self) -> std::io::Result<Needs> {
        match self {
            Self::None => Ok(Needs::default()),
            Self::Churn { .. } => {
                let folder = data_folder()?;
                let data = folder.path().display().to_string();
                // `serve` listens on loopback, and the run measures the change, not the
                // authentication of the caller.
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
                // The broker asks its own token service over HTTP, so that certificates are used.
                let sts = free_address()?.to_string();
                let source = format!("http://{sts}");
                let lifetime = format!("{ROTATING_TOKEN_LIFETIME_SECONDS}s");
                let args = ["--sts", &sts, "--token-source", &source];
                let tokens = ["--token-lifetime", &lifetime, "--refresh-at", "0.5"];
                // Rotations may follow each other at any distance: the polled key sets show if an
                // unpublished key signed.
                let keys = ["--signing-key-min-distance", "0s"];
                let args = args.into_iter().chain(tokens).chain(keys).map(str::to_owned).collect();
                Ok(Needs { args, data: None, source: None })
            }
        }
    }
}

/// Requirements of a broker for the changes of a run.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Arguments of `serve`.
    pub(crate) args: Vec<String>,
    /// Folder for the broker's world.
    pub(crate) data: Option<TempDir>,
    /// Address and folder of the token service that the broker asks.
    pub(crate) source: Option<(SocketAddr, TempDir)>,
}

/// Creates a folder that only its owner may read.
fn data_folder() -> std::io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("mintbench-run-").permissions(Permissions::from_mode(0o700)).tempdir()
}

/// Returns an address whose port was free just now. The broker must know it before anything listens
/// there.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

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
pub(crate) struct Places<'a> {
    pub(crate) arm: Option<&'a HttpUrl>,
    pub(crate) sts: &'a HttpUrl,
    pub(crate) admin: Option<&'a Admin>,
}

/// Threads that make changes, and threads that watch.
#[derive(Debug)]
pub(crate) struct Underway(Threads);

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
    /// Starts the threads that the plan needs. The changes begin with [`Underway::begin`].
    ///
    /// # Errors
    /// Returns an error when a thread cannot be started.
    pub(crate) fn start(
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
                // Before the load: the first token needs a key set that was read before it.
                poller.begin();
                let rotator = Paced::start(pace, core, clock, rotator, Rotator::rotate)?;
                // Early enough that many tokens are requested with the new certificates.
                let once = Pace { first_ns: plan.duration_ns / 3, gap_ns: 0 };
                let roller = Roller::new(admin.clone());
                let roller = Paced::start(once, core, clock, roller, Roller::roll)?;
                Threads::Rotate { rotator, roller, poller }
            }
            _ => Threads::Nothing,
        };
        Ok(Self(threads))
    }

    /// Returns the witness to which the generator's threads report answers, if the changes need
    /// one.
    pub(crate) fn witness(&self) -> Option<Witness> {
        match &self.0 {
            Threads::Churn { witness, .. } => Some(witness.clone()),
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

    /// Ends the changes. The caller must have dropped every copy of the witness.
    ///
    /// # Errors
    /// Returns an error when a thread has panicked.
    pub(crate) fn finish(self) -> Result<Changed, ChangesError> {
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
                // The run may have ended during the outage, but the keys must still be read.
                outage.come_back();
                let (down_ns, writes) = (outage.down_ns, outage.writes.clone());
                Ok(Changed::Outage { writes, down_ns, source: Box::new(outage.into_source()) })
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
                let published = Published { fetched: poller.fetched, rotations };
                Ok(Changed::Rotate { writes, published, certificates, unread })
            }
        }
    }
}

/// Judges the answers that the generator's threads send, until all have hung up.
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

/// Results of the changes, and the data for judging the answers.
#[derive(Debug)]
pub(crate) enum Changed {
    Nothing,
    Churn {
        writes: Writes,
        judgement: Judgement,
        ledger: Arc<Ledger>,
    },
    /// The source keeps running until the keys have been read from it.
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
    /// Returns the identities that our broker's tokens must belong to.
    pub(crate) fn identities<'a>(&'a self, world: &'a Synthetic) -> Identities<'a> {
        match self {
            Self::Churn { ledger, .. } => Identities::Changing(world, ledger),
            Self::Nothing | Self::Outage { .. } | Self::Rotate { .. } => Identities::Of(world),
        }
    }

    /// Returns every key that was published during the run, if the keys were polled.
    pub(crate) fn keys(&self) -> Option<Keys> {
        match self {
            Self::Rotate { published, .. } => Some(published.keys()),
            Self::Nothing | Self::Churn { .. } | Self::Outage { .. } => None,
        }
    }

    /// Returns the report on the changes; `None` without changes.
    pub(crate) fn report(self, samples: &[Sampled], epoch: Epoch) -> Option<Report> {
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

/// Report on the changes of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests that changed something.
    pub writes: Writes,
    /// Verdict on the answers.
    pub truth: Truth,
}

/// Verdict on the answers of a run with changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Verdict on the answers to VMs that lost identities and got them back.
    Churn(Judgement),
    /// No verdict beyond the general checks; the token service was away.
    Outage {
        /// Length of the outage in nanoseconds.
        down_ns: u64,
    },
    /// Verdict on the sampled answers, signed by changing keys.
    Rotate(Rotated),
}

/// Results of a run that rotates keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Sampled tokens compared with the key sets of their time.
    pub moments: Moments,
    /// Identity certificates that were rolled.
    pub certificates: u64,
    /// Failed attempts to read the published keys.
    pub unread: u64,
}

#[cfg(test)]
mod tests;
