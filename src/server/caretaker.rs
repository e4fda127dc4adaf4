//! What has to be done from time to time, whether anybody asks or not.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::operator::Operator;
use crate::clock::{Clock, Seconds, UnixSeconds};
use crate::directory::Directory;
use crate::machine::give_way;
use crate::vault;

/// How often the caretaker looks; wall time has whole seconds.
const ROUND: Duration = Duration::from_secs(1);

/// Certificates rolled in a round, so that none takes much longer than its second, and a stop is seen.
const ROLLED_IN_A_ROUND: usize = 8;

/// Between two looks whether the operator's certificate is due. Rounds do not follow the clock, which may be
/// set back.
const ROUNDS_PER_MINUTE: u64 = 60;

/// How long before its end the certificate authority is in the log.
const REMINDED_BEFORE: Seconds = Seconds(30 * 86_400);

/// Between two such lines.
const ROUNDS_PER_DAY: u64 = 86_400;

/// What the caretaker sees to.
#[derive(Debug)]
pub(super) struct Duties {
    /// How long a key signs tokens before the next one takes over; `None` is for ever.
    pub(super) signing_key_rotation: Option<Seconds>,
    /// Whose certificate is renewed, if there is a data folder.
    pub(super) operator: Option<Operator>,
    /// The last second of the certificate authority.
    pub(super) authority_end: UnixSeconds,
}

/// The thread that does it; ends when dropped.
#[derive(Debug)]
pub(super) struct Caretaker {
    /// Dropping it wakes the thread and ends it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Caretaker {
    pub(super) fn start(
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        duties: Duties,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("caretaker".to_owned());
        let thread = thread.spawn(move || go_round(&directory, &*clock, &duties, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn go_round(directory: &Directory, clock: &dyn Clock, duties: &Duties, stopped: &Receiver<()>) {
    give_way();
    let mut rounds = 0..u64::MAX;
    while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout)
        && let Some(round) = rounds.next()
    {
        let now = clock.now();
        if round.is_multiple_of(ROUNDS_PER_DAY) {
            remind_of_authority(duties.authority_end, now);
        }
        if directory.recover_store(now).is_err() {
            // The log has told of it, and nothing of the rest could be stored.
            continue;
        }
        rotate_signing_keys(directory, now, duties);
        roll_credentials(directory, now);
        if round.is_multiple_of(ROUNDS_PER_MINUTE) {
            renew_operator(directory, duties, now);
        }
        if let Err(error) = vault::purge_due(directory, now) {
            tracing::warn!(%error, "deleted secrets were not purged; it is tried again");
        }
    }
}

fn renew_operator(directory: &Directory, duties: &Duties, now: UnixSeconds) {
    let renewed = duties.operator.as_ref().map(|operator| operator.renew(directory, now));
    if let Some(Err(error)) = renewed {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the operator's certificate was not renewed; it is tried again");
    }
}

/// Whoever trusts the authority has to be told of the next one, which takes time.
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
    // One in a round: what makes many identities at once is not to be held up by their keys.
    if let Err(error) = directory.provision_next(now) {
        tracing::warn!(%error, "an identity got no certificate; it is made when it is first needed");
    }
    if let Err(error) = directory.roll_due(now, ROLLED_IN_A_ROUND) {
        tracing::warn!(%error, "certificates were not rolled; the old ones go on, and it is tried again");
    }
}

fn rotate_signing_keys(directory: &Directory, now: UnixSeconds, duties: &Duties) {
    // A key that is never changed still has a moment to be set right.
    let life = duties.signing_key_rotation.unwrap_or(Seconds(u64::MAX));
    if let Err(error) = directory.rotate_due(now, life) {
        tracing::warn!(%error, "the signing keys were not rotated; the old ones go on, and it is tried again");
    }
}
