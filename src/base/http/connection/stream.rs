//! The bytes of a connection, in both directions.

use std::future::poll_fn;
use std::io::{Error, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::heads::HeadFilter;
use super::received::{RECEIVED_BYTES, Received};
use crate::base::http::limits::{Activity, AfterAnswer};
use crate::base::http::message::Cut;

/// Bytes of a longer answer that a peer must read within half a minute: about 9 kB/s.
pub(crate) const PROGRESS_BYTES: usize = 256 * 1024;

/// Bytes of a body that nobody has read which are discarded at the end of a connection.
const DISCARDED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Time for which hyper gets a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loan {
    /// All requests that follow.
    ForGood,
    /// Requests until one whose answer needs no hyper.
    Turn,
}

/// Bytes that a stream passes on to hyper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    /// All bytes.
    All,
    /// The rest of one request head.
    Head,
    /// Nothing but the end of the stream, until the request has been answered.
    End,
    /// Nothing. The stream looks like one that has ended, so that hyper gives it back.
    Nothing,
}

/// A stream that examines request heads and records whether the peer reads its answers.
#[derive(Debug)]
pub(crate) struct MonitoredStream<I> {
    io: I,
    activity: Arc<Activity>,
    heads: HeadFilter,
    /// Bytes that have arrived and are not passed on yet: they wait for the loop in front of hyper, or for the answer
    /// to a request before them.
    rest: Received,
    /// Bytes that the peer has read since the timeout started. `None` while the peer reads everything.
    unsent: Option<usize>,
    /// Bytes that were discarded since the sending side ended. `None` before that.
    discarded: Option<usize>,
    passing: Passing,
    reset: fn(&I),
}

impl<I> MonitoredStream<I> {
    pub(crate) fn new(io: I, activity: Arc<Activity>, reset: fn(&I)) -> Self {
        Self {
            io,
            activity,
            heads: HeadFilter::new(),
            rest: Received::default(),
            unsent: None,
            discarded: None,
            passing: Passing::All,
            reset,
        }
    }

    /// Prepares the stream for hyper, which gets the bytes that have arrived and then those that arrive.
    pub(super) fn lend(&mut self, loan: Loan) {
        self.heads = HeadFilter::new();
        if loan == Loan::Turn {
            self.activity.turn.begin();
            self.passing = Passing::Head;
        }
    }

    /// Takes the stream back from hyper.
    pub(super) fn take_back(&mut self) {
        self.activity.turn.clear();
        self.passing = Passing::All;
    }

    /// Returns the bytes that have arrived and were not passed on.
    pub(super) fn unread(&self) -> &[u8] {
        self.rest.unread()
    }

    /// Removes the bytes of an answered request.
    pub(super) fn consume(&mut self, count: usize) {
        self.rest.consume(count);
    }

    /// Passes on the bytes of `buf` from `start`, except those that must wait.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let come = buf.filled_mut().get_mut(start..).unwrap_or_default();
        let count = self.heads.examine(come, self.activity.body_bytes());
        if let Some(rest @ [_, ..]) = come.get(count..) {
            self.rest.push(rest);
            buf.set_filled(start + count);
        }
        self.note_head();
    }

    fn hand_on_rest(&mut self, buf: &mut ReadBuf<'_>) {
        let unread = self.rest.unread_mut();
        let most = unread.len().min(buf.remaining());
        let next = unread.get_mut(..most).unwrap_or_default();
        let count = self.heads.examine(next, self.activity.body_bytes());
        buf.put_slice(next.get(..count).unwrap_or_default());
        self.rest.consume(count);
        if self.passing == Passing::All {
            self.rest.release();
        }
        self.note_head();
    }

    /// Stops at the end of the head that is passed on.
    fn note_head(&mut self) {
        if self.passing == Passing::Head && self.heads.is_between() {
            self.passing = Passing::End;
        }
    }

    /// Lets hyper read again if its answer has been written: the next head, or the end. Nothing else wakes
    /// hyper, unless it waits for the peer.
    fn note_turn(&mut self) {
        if self.passing != Passing::End {
            return;
        }
        let turn = &self.activity.turn;
        match turn.written() {
            Some(AfterAnswer::GoOn) => {
                self.passing = Passing::Head;
                if !self.rest.is_empty() {
                    turn.demand_read();
                }
            }
            Some(AfterAnswer::GiveBack) => {
                self.passing = Passing::Nothing;
                turn.demand_read();
            }
            None => {}
        }
    }

    fn note_written(&mut self, written: &Poll<Result<usize, Error>>) {
        match (written, &mut self.unsent) {
            (Poll::Pending, _) => self.note_blocked(),
            (Poll::Ready(Ok(count)), Some(taken)) => {
                *taken += count;
                if *taken >= PROGRESS_BYTES {
                    *taken = 0;
                    self.activity.mark_unsent();
                }
            }
            _ => {}
        }
    }

    fn note_flushed(&mut self, flushed: &Poll<Result<(), Error>>) {
        if flushed.is_pending() {
            self.note_blocked();
        } else if self.unsent.take().is_some() {
            self.activity.mark_sent();
        }
    }

    fn note_blocked(&mut self) {
        if self.unsent.is_none() {
            self.unsent = Some(0);
            self.activity.mark_unsent();
        }
    }
}

impl<I: AsyncRead + Unpin> MonitoredStream<I> {
    /// Reads bytes that hyper does not get. Returns how many, which is 0 at the end of the stream.
    pub(super) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        let mut free = ReadBuf::new(self.rest.free());
        ready!(Pin::new(&mut self.io).poll_read(context, &mut free))?;
        let count = free.filled().len();
        self.rest.add(count);
        Poll::Ready(Ok(count))
    }

    /// Reads and discards what the peer still sends, up to a limit. Closing a socket that has unread bytes would
    /// reset the connection, and the peer could lose the answer (RFC 9112 section 9.6).
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [MaybeUninit::uninit(); 8 * 1024];
        while self.discarded.is_some_and(|discarded| discarded < DISCARDED_BYTES_MAX) {
            let mut read = ReadBuf::uninit(&mut bytes);
            let polled = ready!(Pin::new(&mut self.io).poll_read(context, &mut read));
            if polled.is_err() || read.filled().is_empty() {
                break;
            }
            self.discarded = self.discarded.map(|discarded| discarded + read.filled().len());
        }
        Poll::Ready(())
    }

    /// Reads while hyper answers, to see the end of the stream. Requests that arrive meanwhile wait in
    /// `rest`. While there are any, nothing is read: hyper does not look for the end behind them either.
    fn poll_end(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        if !self.rest.is_empty() {
            return Poll::Pending;
        }
        let mut arrived = buf.take(RECEIVED_BYTES);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut arrived))?;
        if arrived.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.rest.push(arrived.filled());
        Poll::Pending
    }
}

impl<I: AsyncWrite + Unpin> MonitoredStream<I> {
    /// Ends the sending side. The peer may have closed the connection before.
    pub(super) async fn close(mut self) {
        let _ = poll_fn(|context| Pin::new(&mut self.io).poll_shutdown(context)).await;
    }

    /// Ends the connection on purpose.
    pub(super) async fn cut(self, cut: Cut) {
        match cut {
            Cut::Close => self.close().await,
            Cut::Reset => (self.reset)(&self.io),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for MonitoredStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        match self.passing {
            Passing::All | Passing::Head => {}
            Passing::End if self.activity.turn.has_request() => return self.poll_end(context, buf),
            // The request has a body, or hyper does not take the head for a whole one.
            Passing::End => {
                self.take_back();
                self.rest.release();
            }
            Passing::Nothing => {
                self.activity.turn.end();
                return Poll::Ready(Ok(()));
            }
        }
        if !self.rest.is_empty() {
            self.hand_on_rest(buf);
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buf))?;
        self.hand_on(buf, start);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MonitoredStream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.note_flushed(&flushed);
        if flushed.is_ready() {
            self.note_turn();
        }
        flushed
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        // hyper has read the end that only it sees, and the connection goes on. A connection that hyper closes
        // by itself is shut down.
        if self.activity.turn.is_over() {
            return Poll::Ready(Ok(()));
        }
        if self.discarded.is_none() {
            let shut = Pin::new(&mut self.io).poll_shutdown(context);
            self.note_flushed(&shut);
            ready!(shut)?;
            self.discarded = Some(0);
        }
        // The body of the last request may have been refused unread.
        if self.activity.body_bytes() > 0 {
            ready!(self.poll_discard(context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;
    use crate::base::http::limits::{CoarseClock, STALLED_S, Tally};

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_stalled_until_it_has_read_everything() {
        let clock = Arc::new(CoarseClock::start());
        let tally = Arc::new(Tally::new("test"));
        let activity = Arc::new(Activity::new(0, tally, Arc::clone(&clock)));
        let (io, mut peer) = duplex(PROGRESS_BYTES);
        let mut flow = MonitoredStream::new(io, Arc::clone(&activity), |_| {});
        let mut context = Context::from_waker(Waker::noop());
        let mut write = |bytes| Pin::new(&mut flow).poll_write(&mut context, bytes).is_ready();
        let (answer, mut read) = (vec![b'x'; PROGRESS_BYTES], vec![0; PROGRESS_BYTES]);
        assert!(write(&answer) && !write(&answer));
        clock.set(STALLED_S + 1);
        assert!(activity.is_stalled());
        // The peer continues to read, so the timeout starts again.
        peer.read_exact(&mut read).await.unwrap();
        assert!(write(&answer) && !activity.is_stalled());
        clock.set(2 * STALLED_S + 2);
        assert!(activity.is_stalled());
        peer.read_exact(&mut read).await.unwrap();
        assert!(Pin::new(&mut flow).poll_flush(&mut context).is_ready());
        assert!(!activity.is_stalled());
    }
}
