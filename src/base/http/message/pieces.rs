//! Answers that break on purpose, for tests of clients.

use std::error::Error;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Deliberate end of a connection before its answer is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The connection is closed, as by a server that ends (FIN).
    #[error("the connection was closed on purpose")]
    Close,
    /// The connection is reset, as by a server that crashed (RST).
    #[error("the connection was reset on purpose")]
    Reset,
}

impl Cut {
    /// Returns the deliberate end that an error of the connection is about.
    pub(crate) fn of(error: &hyper::Error) -> Option<Self> {
        error.source()?.downcast_ref().copied()
    }
}

/// A body of known length that arrives in pieces. If the pieces end early, the connection is closed.
#[derive(Debug)]
pub(crate) struct Pieces {
    source: mpsc::Receiver<Bytes>,
    left: usize,
    /// True once hyper has had the opportunity to write the pieces before an early end.
    is_written: bool,
}

impl Pieces {
    pub(super) const fn new(len: usize, source: mpsc::Receiver<Bytes>) -> Self {
        Self { source, left: len, is_written: false }
    }

    /// Returns the number of bytes that are announced and were not taken.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match ready!(self.source.poll_recv(context)) {
            Some(mut piece) => {
                piece.truncate(self.left);
                self.left -= piece.len();
                Poll::Ready(Some(Ok(piece)))
            }
            // hyper discards what it has not written when the body fails.
            None if !self.is_written => {
                self.is_written = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Some(Err(Cut::Close))),
        }
    }
}
