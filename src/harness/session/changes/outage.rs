//! Token service in a process of its own, which is killed under load and started again.
//!
//! A killed process is the simplest outage: its connections break, and nothing listens at its
//! address. The service keeps its world in a folder, so that it signs with the same keys after the
//! restart.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::base::clock::Monotonic;
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::url::HttpUrl;
use crate::harness::machine::stop::Stop;
use crate::harness::nanos::Nanos;
use crate::harness::record::writes::Writes;
use crate::harness::session::serve_process::{ServeError, ServeProcess, this_program};

/// Token service that our broker gets its tokens from.
#[derive(Debug)]
pub struct Source {
    /// `None` during the outage.
    process: Option<ServeProcess>,
    world: Synthetic,
    core: Option<usize>,
    args: Vec<String>,
    stop: Arc<Stop>,
    /// Folder with the world of the token service.
    #[expect(dead_code, reason = "owned so that the folder stays for as long as the process")]
    folder: TempDir,
}

/// Failure to start a token service.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file of the token service cannot be written.
    #[error("cannot write `{path}` for the token service; TMPDIR names another place", path = path.display())]
    Write {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The token service does not start.
    #[error("cannot start the token service that the broker asks")]
    Serve(#[from] ServeError),
}

impl Source {
    /// Starts a token service at `address` that trusts the broker with the authority `ca_pem`.
    ///
    /// # Errors
    /// Returns [`SourceError`] when the token service does not become ready.
    pub(crate) fn start(
        address: SocketAddr,
        ca_pem: &str,
        folder: TempDir,
        (world, core, extra): (&Synthetic, Option<usize>, &[String]),
        stop: &Arc<Stop>,
    ) -> Result<Self, SourceError> {
        let trusted = folder.path().join("broker-ca.pem");
        std::fs::write(&trusted, ca_pem)
            .map_err(|source| SourceError::Write { path: trusted.clone(), source })?;
        let text = |path: &Path| path.display().to_string();
        let data = text(&folder.path().join("data"));
        let own = ["--sts", &address.to_string(), "--data", &data].map(str::to_owned);
        let trust = ["--trust-credential-issuer".to_owned(), text(&trusted)];
        let args = [&own[..], &trust, extra].concat();
        let stop = Arc::clone(stop);
        let mut source = Self { process: None, world: *world, core, args, stop, folder };
        source.restore()?;
        Ok(source)
    }

    /// Returns the URL of the token service.
    ///
    /// # Errors
    /// Returns an error when the process is down or did not report the URL.
    pub(crate) fn sts(&self) -> Result<HttpUrl, SourceError> {
        let process = self.process.as_ref().ok_or(ServeError::NoEndpoint("sts"))?;
        Ok(process.endpoint("sts")?)
    }

    fn restore(&mut self) -> Result<(), ServeError> {
        let started =
            ServeProcess::start(&this_program(), &self.world, self.core, &self.args, &self.stop)?;
        self.process = Some(started);
        Ok(())
    }
}

/// Actor that kills the token service and starts it again.
#[derive(Debug)]
pub(crate) struct Outage {
    source: Source,
    clock: Monotonic,
    down_at: Option<Nanos>,
    /// Length of the outage.
    pub(crate) down: Nanos,
    pub(crate) writes: Writes,
}

impl Outage {
    pub(crate) fn new(source: Source, clock: Monotonic) -> Self {
        Self { source, clock, down_at: None, down: Nanos::ZERO, writes: Writes::default() }
    }

    /// Kills the token service on the first call and restarts it on the second.
    pub(crate) fn act(&mut self) -> ControlFlow<()> {
        let begin = Nanos::now(self.clock);
        if let Some(process) = self.source.process.take() {
            process.kill();
            self.down_at = Some(begin);
            self.writes.succeeded(Nanos::now(self.clock).saturating_sub(begin));
            return ControlFlow::Continue(());
        }
        self.come_back();
        ControlFlow::Break(())
    }

    /// Restarts the token service if it is down.
    pub(crate) fn come_back(&mut self) {
        let Some(down_at) = self.down_at.take() else { return };
        let begin = Nanos::now(self.clock);
        let restored = self.source.restore();
        let end = Nanos::now(self.clock);
        self.down = end.saturating_sub(down_at);
        match restored {
            Ok(()) => self.writes.succeeded(end.saturating_sub(begin)),
            Err(error) => self.writes.failed(error.to_string()),
        }
    }

    /// Returns the token service, which ends when the value is dropped.
    pub(crate) fn into_source(self) -> Source {
        self.source
    }
}
