//! Faults of the source of tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::asked::{Asked, names_of_id};
use super::document::{Endpoint, Fault};
use super::injector::Faults;
use crate::base::clock::UnixSeconds;
use crate::service::directory::Directory;
use crate::service::token::{Entropy, MintError, Subject, Token, TokenSource};

/// Time after which the broker gives up a source that hangs: three calls of three seconds.
const HANGS_MAX: Duration = Duration::from_secs(9);

/// A source of tokens that fails when the plan says so.
pub(crate) struct FaultySource {
    source: Arc<dyn TokenSource>,
    directory: Arc<Directory>,
    faults: Arc<Faults>,
}

impl FaultySource {
    /// Wraps a source.
    pub(crate) fn new(
        source: Arc<dyn TokenSource>,
        directory: Arc<Directory>,
        faults: Arc<Faults>,
    ) -> Self {
        Self { source, directory, faults }
    }

    /// Fails or waits, as the plan says. Blocks the mint lane meanwhile.
    fn meet(&self, subject: &Subject<'_>, resource: &str) -> Result<(), MintError> {
        let released = self.faults.waits.subscribe();
        let resource = Some(resource.to_owned());
        let client_id = subject.client_id.to_string();
        let of_client = Asked::of_client(&self.directory.read(), &client_id, resource);
        let vm = subject.caller_id.or(subject.resource_id);
        let vm = vm.map(names_of_id).unwrap_or_default();
        let Some(fault) = self.faults.choose(Endpoint::TokenSource, &Asked { vm, ..of_client })
        else {
            return Ok(());
        };
        let wait = |span| {
            if let Some(wait) = self.faults.waits.enter(released) {
                wait.block(span);
            }
        };
        let failed = |said: String| Err(MintError::Unavailable(said));
        match fault {
            Fault::Slow { delay } => {
                wait(delay.0);
                Ok(())
            }
            Fault::Hang {} => {
                wait(HANGS_MAX);
                failed("it does not answer".to_owned())
            }
            Fault::Status { status, .. } => failed(format!("it answers {status}")),
            Fault::Reset {} => failed("it resets the connection".to_owned()),
            Fault::Truncated {} => failed("its answer ended early".to_owned()),
            _ => failed("its answer holds no token".to_owned()),
        }
    }
}

impl fmt::Debug for FaultySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultySource").field(&self.source).finish()
    }
}

impl TokenSource for FaultySource {
    fn mint(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<Token, MintError> {
        if self.faults.is_on() {
            self.meet(subject, resource)?;
        }
        self.source.mint(subject, resource, now, entropy)
    }
}
