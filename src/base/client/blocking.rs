//! A client for threads without a runtime.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Request, Response, Uri};
use tokio::runtime::{Builder, Runtime};

use super::error::ClientError;
use super::exchange::Client;

/// A [`Client`] on a runtime of its own. Calls block the thread, so no call may come from a thread that runs
/// another runtime. Connections make progress during calls only.
#[derive(Debug)]
pub(crate) struct BlockingClient {
    /// Declared first, so that connections end before their runtime.
    client: Client,
    runtime: Runtime,
}

impl BlockingClient {
    /// Starts the runtime of `client`.
    ///
    /// # Errors
    /// Returns the error of the system, for example when no file descriptor is left.
    pub(crate) fn start(client: Client) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime })
    }

    /// Sends a request like [`Client::send`].
    ///
    /// # Errors
    /// Returns the errors of [`Client::send`].
    pub(crate) fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
        self.runtime.block_on(self.client.send(request))
    }

    /// Opens a connection like [`Client::connect`].
    ///
    /// # Errors
    /// Returns the errors of [`Client::connect`].
    pub(crate) fn connect(&self, url: &Uri) -> Result<(), ClientError> {
        self.runtime.block_on(self.client.connect(url))
    }

    /// Waits, for example between two polls.
    pub(crate) fn pause(&self, span: Duration) {
        self.runtime.block_on(tokio::time::sleep(span));
    }
}
