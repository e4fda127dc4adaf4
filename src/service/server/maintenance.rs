//! Periodic tasks of the server.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::operator::Operator;
use super::vm_listeners::VmListeners;
use crate::base::clock::{Clock, Seconds, UnixSeconds};
use crate::base::process::lower_priority;
use crate::service::directory::Directory;
use crate::service::vault;

/// Interval between two rounds. Wall time has a resolution of one second.
const ROUND: Duration = Duration::from_secs(1);

/// Greatest number of certificates rolled in one round, so that a round takes about a second and the thread
/// notices a stop.
const ROLLED_IN_A_ROUND: usize = 8;

/// Greatest number of keys of vaults rotated in one round, for the same reason. A large one takes a second.
const ROTATED_IN_A_ROUND: usize = 2;

/// Rounds between two checks of the operator's certificate. Rounds are counted, because the clock may be set
/// back.
const ROUNDS_PER_MINUTE: u64 = 60;

/// Time before the certificate authority expires from which the log warns about it.
const REMINDED_BEFORE: Seconds = Seconds(30 * 86_400);

/// Rounds between two such warnings.
const ROUNDS_PER_DAY: u64 = 86_400;

/// Settings of the tasks.
#[derive(Debug)]
pub(super) struct MaintenanceOptions {
    /// Time for which a key signs tokens before the next one takes over; `None` for no limit.
    pub(super) signing_key_rotation: Option<Seconds>,
    /// Operator whose certificate is renewed, if there is a data folder.
    pub(super) operator: Option<Operator>,
    /// Last second of the certificate authority.
    pub(super) authority_end: UnixSeconds,
    /// Largest number of versions of a key in a vault. A key that has them is not rotated.
    pub(super) max_versions: usize,
    /// Listeners of single VMs.
    pub(super) listeners: Option<Arc<VmListeners>>,
}

/// The thread that performs the tasks; ends when dropped.
#[derive(Debug)]
pub(super) struct Maintenance {
    /// Dropping this sender wakes the thread and ends it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    pub(super) fn start(
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        options: MaintenanceOptions,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("maintenance".to_owned());
        let thread = thread.spawn(move || run_rounds(&directory, &*clock, &options, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run_rounds(
    directory: &Directory,
    clock: &dyn Clock,
    options: &MaintenanceOptions,
    stopped: &Receiver<()>,
) {
    lower_priority();
    let mut rounds = 0..u64::MAX;
    while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout)
        && let Some(round) = rounds.next()
    {
        let now = clock.now();
        if let Some(listeners) = &options.listeners {
            listeners.follow();
        }
        if round.is_multiple_of(ROUNDS_PER_DAY) {
            remind_of_authority(options.authority_end, clock.machine_now());
        }
        if directory.recover_store(now).is_err() {
            // The fault is logged already, and the other tasks could not store anything.
            continue;
        }
        rotate_signing_keys(directory, now, options);
        roll_credentials(directory, now);
        if round.is_multiple_of(ROUNDS_PER_MINUTE) {
            renew_operator(directory, options, now);
        }
        rotate_vault_keys(directory, now, options.max_versions);
        if let Err(error) = vault::purge_due(directory, now) {
            tracing::warn!(%error, "deleted secrets and keys were not purged; it is tried again");
        }
    }
}

fn renew_operator(directory: &Directory, options: &MaintenanceOptions, now: UnixSeconds) {
    let renewed = options.operator.as_ref().map(|operator| operator.renew(directory, now));
    if let Some(Err(error)) = renewed {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the operator's certificate was not renewed; it is tried again");
    }
}

/// Logs a warning before the authority expires, because its users need time to trust the next one.
fn remind_of_authority(end: UnixSeconds, now: UnixSeconds) {
    if now + REMINDED_BEFORE >= end {
        let days = end.since(now).0 / 86_400;
        tracing::warn!(
            days,
            "the certificate authority ends soon; stop the server, remove ca.pem and ca.key, and start it again; clients then have to trust the new ca.pem"
        );
    }
}

fn roll_credentials(directory: &Directory, now: UnixSeconds) {
    // Only one per round, so that the keys of many new identities do not delay their creation.
    if let Err(error) = directory.provision_next(now) {
        tracing::warn!(%error, "an identity got no certificate; it is made when it is first needed");
    }
    if let Err(error) = directory.roll_due(now, ROLLED_IN_A_ROUND) {
        tracing::warn!(%error, "certificates were not rolled; the old ones go on, and it is tried again");
    }
}

fn rotate_vault_keys(directory: &Directory, now: UnixSeconds, max_versions: usize) {
    if let Err(error) = vault::rotate_keys_due(directory, now, max_versions, ROTATED_IN_A_ROUND) {
        tracing::warn!(%error, "keys of vaults were not rotated; it is tried again");
    }
}

fn rotate_signing_keys(directory: &Directory, now: UnixSeconds, options: &MaintenanceOptions) {
    // Without rotation, `rotate_due` still corrects times after the clock was set back.
    let life = options.signing_key_rotation.unwrap_or(Seconds(u64::MAX));
    if let Err(error) = directory.rotate_due(now, life) {
        tracing::warn!(%error, "the signing keys were not rotated; the old ones go on, and it is tried again");
    }
}
