//! What has to be done from time to time, whether anybody asks or not.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Clock, Seconds, UnixSeconds};
use crate::directory::Directory;
use crate::machine::give_way;
use crate::vault;

/// How often the caretaker looks; wall time has whole seconds.
const ROUND: Duration = Duration::from_secs(1);

/// Certificates rolled in a round, so that none takes much longer than its second, and a stop is seen.
const ROLLED_IN_A_ROUND: usize = 8;

/// What the caretaker sees to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Duties {
    /// How long a key signs tokens before the next one takes over; `None` is for ever.
    pub(super) signing_key_rotation: Option<Seconds>,
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
        let thread = thread.spawn(move || go_round(&directory, &*clock, duties, &stopped))?;
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

fn go_round(directory: &Directory, clock: &dyn Clock, duties: Duties, stopped: &Receiver<()>) {
    give_way();
    while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        rotate_signing_keys(directory, clock.now(), duties);
        roll_credentials(directory, clock.now());
        if let Err(error) = vault::purge_due(directory, clock.now()) {
            tracing::warn!(%error, "deleted secrets were not purged; it is tried again");
        }
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

fn rotate_signing_keys(directory: &Directory, now: UnixSeconds, duties: Duties) {
    // A key that is never changed still has a moment to be set right.
    let life = duties.signing_key_rotation.unwrap_or(Seconds(u64::MAX));
    if let Err(error) = directory.rotate_due(now, life) {
        tracing::warn!(%error, "the signing keys were not rotated; the old ones go on, and it is tried again");
    }
}
