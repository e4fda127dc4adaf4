//! Private keys made in advance, so that whoever makes an identity does not wait for one.

use std::sync::mpsc::{Receiver, sync_channel};

use parking_lot::Mutex;

use crate::secret::Redacted;
use crate::token::{KeyError, generate_client_key};

/// Keys that wait: two seconds of work for the thread that makes them, and as many identities made at
/// once.
const KEYS_MAX: usize = 16;

/// A few keys, and the thread that makes more. The thread starts when the pool is first used and ends
/// with the pool: a world whose identities need no certificate spends nothing on them.
#[derive(Debug, Default)]
pub(super) struct KeyPool {
    keys: Mutex<Option<Receiver<Redacted>>>,
}

impl KeyPool {
    /// A key: one that waits, or else one that is made while the caller waits.
    pub(super) fn take(&self) -> Result<Redacted, KeyError> {
        match self.waiting() {
            Some(key) => Ok(key),
            None => generate_client_key(),
        }
    }

    /// Starts the thread, if it does not run yet.
    pub(super) fn fill(&self) {
        self.keys.lock().get_or_insert_with(started);
    }

    fn waiting(&self) -> Option<Redacted> {
        self.keys.lock().get_or_insert_with(started).try_recv().ok()
    }
}

fn started() -> Receiver<Redacted> {
    let (sender, receiver) = sync_channel(KEYS_MAX);
    let fill = move || {
        // Ends when a key fails or nobody is left to take one; then every taker makes its own.
        while generate_client_key().is_ok_and(|key| sender.send(key).is_ok()) {}
    };
    if let Err(error) = std::thread::Builder::new().name("key-pool".to_owned()).spawn(fill) {
        tracing::warn!(%error, "no thread makes keys in advance");
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_given_out_once_and_without_waiting_for_the_thread() {
        let pool = KeyPool::default();
        let keys: Vec<_> = (0..3).map(|_| pool.take().unwrap()).collect();
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    }
}
