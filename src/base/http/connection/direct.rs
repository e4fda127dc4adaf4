//! Plain requests that a surface answers without hyper.
//!
//! A loop reads a request, has it answered and writes the answer before it looks at the next one. An answer may
//! take its time. At a request that the loop cannot answer, hyper gets the connection for a turn, with all bytes
//! that have arrived. The turn ends when hyper has answered a request that the loop takes, too. The limits are
//! those of hyper's connections, because both use the same stream, activity and shutdown signal.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use hyper::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::last_head::LastHead;
use super::plain::Judged;
use super::received::RECEIVED_BYTES;
use super::requests::{Connection, Exchange, first_byte};
use super::stream::{Loan, MonitoredStream};
use crate::base::http::message::{Payload, PlainRequest};
use crate::base::http::surface::{
    ANSWER_BYTES, LaterAnswer, PlainAnswer, Shutdown, Surface, Written, stopped,
};

/// Memory that a connection keeps from request to request, also during a turn of hyper.
struct Buffers {
    last: LastHead,
    answer: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { last: LastHead::default(), answer: Vec::with_capacity(ANSWER_BYTES) }
    }
}

/// Result of looking at the bytes that have arrived.
enum Step<'a> {
    /// An answer is ready. The request has this length.
    Answered(usize),
    /// More bytes are needed.
    Incomplete,
    /// An answer is to be waited for. The request has this length.
    Later(usize, LaterAnswer<'a>),
    /// hyper must look at the bytes.
    Lend(Loan),
}

/// Event that a connection without a complete request waits for.
enum Event {
    /// Bytes have arrived.
    Bytes,
    /// The peer has closed the connection.
    End,
    /// The process ends.
    Stop,
}

/// End of the loop.
enum Next {
    Close,
    /// hyper gets the connection, and this answer to the first request if there is one.
    Hyper(Loan, Option<Box<Response<Payload>>>),
}

impl Connection<TcpStream> {
    /// Serves the connection once its peer has sent a byte. Until then it needs no buffers.
    pub(crate) async fn serve_plain<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        tokio::select! {
            biased;
            first = first_byte(&self.stream) => if first.is_none() { return },
            () = stopped(&mut shutdown) => return,
        }
        self.serve_begun(surface, shutdown).await;
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    /// Serves a connection whose peer has sent a byte.
    pub(crate) async fn serve_begun<S: Surface>(self, surface: Arc<S>, shutdown: Shutdown) {
        // Boxed, here and for TLS, so that a silent connection does not use the memory for it.
        if surface.answers_plain() {
            Box::pin(self.serve_direct(surface, shutdown)).await;
        } else {
            Box::pin(self.serve(surface, shutdown)).await;
        }
    }

    async fn serve_direct<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        // The stream is dropped first: its slot is free once its file descriptor is.
        let (exchange, mut stream) = self.begin(surface);
        let mut buffers = Buffers::default();
        loop {
            let next =
                answer_plain_requests(&mut stream, &exchange, &mut buffers, &mut shutdown).await;
            let refusal = match next {
                Ok(Next::Hyper(loan, refusal)) => {
                    stream.lend(loan);
                    refusal
                }
                Ok(Next::Close) => return stream.close().await,
                Err(error) => {
                    let peer = exchange.peer.addr;
                    return tracing::debug!(%peer, %error, "a connection ended early");
                }
            };
            // Boxed, because hyper's part is large and most connections do not need it.
            let served = Box::pin(exchange.serve_with_hyper(stream, &mut shutdown, refusal)).await;
            let Some(returned) = served else { return };
            stream = returned;
            stream.take_back();
        }
    }
}

/// Answers requests until the connection ends, or until hyper must look at the bytes that have arrived.
async fn answer_plain_requests<S: Surface, I: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut MonitoredStream<I>,
    exchange: &Exchange<S>,
    buffers: &mut Buffers,
    shutdown: &mut Shutdown,
) -> io::Result<Next> {
    let state = shutdown.clone();
    let signal = std::pin::pin!(stopped(shutdown));
    let mut stop = Stop::new(state, signal);
    loop {
        let (len, is_last) = match exchange.look_at(stream.unread(), buffers) {
            Step::Answered(len) => (len, false),
            Step::Later(len, later) => {
                match answer_later(stream, len, later, &mut stop).await? {
                    Some(Ok(answer)) => buffers.answer = answer,
                    Some(Err(refusal)) => return Ok(Next::Hyper(Loan::Turn, Some(refusal))),
                    None => return Ok(Next::Close),
                }
                exchange.slot.activity.finish();
                // While answers are waited for, requests may arrive without end.
                (len, stop.is_seen)
            }
            Step::Lend(loan) => return Ok(Next::Hyper(loan, None)),
            Step::Incomplete => match receive(stream, &mut stop).await? {
                Event::Bytes => continue,
                Event::End => return Ok(Next::Close),
                Event::Stop => return Ok(at_stop(stream, exchange)),
            },
        };
        stream.consume(len);
        let _charge = exchange.budget.charge_bytes(buffers.answer.len());
        send(stream, &mut buffers.answer, &mut stop).await?;
        if is_last {
            return Ok(Next::Close);
        }
    }
}

/// Returns the end of the loop when the process ends while no whole request has arrived.
fn at_stop<S: Surface, I: AsyncRead>(stream: &MonitoredStream<I>, exchange: &Exchange<S>) -> Next {
    // The first request may be finished, and hyper waits for it.
    let is_first = !exchange.slot.activity.has_answered();
    let is_begun = !stream.unread().is_empty();
    if is_first && is_begun { Next::Hyper(Loan::Turn, None) } else { Next::Close }
}

/// The signal that the process ends, for a task that waits for bytes again and again.
struct Stop<'a, F> {
    /// State of the signal, to be looked at.
    state: Shutdown,
    signal: Pin<&'a mut F>,
    /// The task that the signal wakes.
    task: Option<Waker>,
    is_seen: bool,
}

impl<'a, F: Future<Output = ()>> Stop<'a, F> {
    fn new(state: Shutdown, signal: Pin<&'a mut F>) -> Self {
        Self { state, signal, task: None, is_seen: false }
    }

    /// Polls the signal, unless it wakes this task already and has not changed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_awaited = self.task.as_ref().is_some_and(|task| task.will_wake(context.waker()));
        if !is_awaited || !matches!(self.state.has_changed(), Ok(false)) {
            self.task = Some(context.waker().clone());
            self.is_seen = self.is_seen || self.signal.as_mut().poll(context).is_ready();
        }
        if self.is_seen { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<S: Surface> Exchange<S> {
    /// Answers the request at the start of `received`, if it is complete and plain.
    fn look_at(&self, received: &[u8], buffers: &mut Buffers) -> Step<'_> {
        if received.is_empty() {
            return Step::Incomplete;
        }
        // More bytes may have arrived during a turn of hyper.
        let first = received.get(..RECEIVED_BYTES).unwrap_or(received);
        let Buffers { last, answer } = buffers;
        match last.judge(first) {
            Judged::Plain => {}
            Judged::Incomplete if first.len() < RECEIVED_BYTES => return Step::Incomplete,
            Judged::Incomplete | Judged::Other => return Step::Lend(Loan::Turn),
            Judged::Odd => return Step::Lend(Loan::ForGood),
        }
        if !self.budget.has_room() {
            return Step::Lend(Loan::Turn);
        }
        let request = PlainRequest::new(first, last.layout());
        match self.surface.answer_plain(&self.caller, &request, answer) {
            PlainAnswer::Appended => {
                // There is no moment between the beginning of the request and its answer.
                self.slot.activity.finish();
                Step::Answered(last.layout().len)
            }
            PlainAnswer::Later(later) => {
                self.slot.activity.begin(0);
                Step::Later(last.layout().len, later)
            }
            PlainAnswer::Left => Step::Lend(Loan::Turn),
        }
    }
}

/// Waits for the answer to the request of this length at the start of the unread bytes. Returns `None` if the
/// peer closes the connection first. Also looks for the end of the process, which does not end the wait.
async fn answer_later<I: AsyncRead + Unpin>(
    stream: &mut MonitoredStream<I>,
    len: usize,
    mut later: LaterAnswer<'_>,
    stop: &mut Stop<'_, impl Future<Output = ()>>,
) -> io::Result<Option<Written>> {
    poll_fn(|context| {
        if let Poll::Ready(answer) = later.as_mut().poll(context) {
            return Poll::Ready(Ok(Some(answer)));
        }
        let _seen = stop.poll(context);
        // As in a turn of hyper: while other requests wait behind this one, nothing is read.
        while stream.unread().len() == len && len < RECEIVED_BYTES {
            if ready!(stream.poll_receive(context))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits for bytes, for the end of the stream or for the end of the process.
async fn receive<I: AsyncRead + Unpin>(
    stream: &mut MonitoredStream<I>,
    stop: &mut Stop<'_, impl Future<Output = ()>>,
) -> io::Result<Event> {
    poll_fn(|context| {
        if stop.is_seen {
            return Poll::Ready(Ok(Event::Stop));
        }
        match stream.poll_receive(context) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Event::End)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Event::Bytes)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => stop.poll(context).map(|()| Ok(Event::Stop)),
        }
    })
    .await
}

/// Writes the whole answer, and clears it. While it waits, it also looks for the end of the process: a client that
/// sends without pause may let [`receive`] never wait.
async fn send<I: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut MonitoredStream<I>,
    answer: &mut Vec<u8>,
    stop: &mut Stop<'_, impl Future<Output = ()>>,
) -> io::Result<()> {
    let mut sent = 0;
    poll_fn(|context| {
        let polled = poll_send(stream, answer, &mut sent, context);
        if polled.is_pending() {
            let _seen = stop.poll(context);
        }
        polled
    })
    .await?;
    answer.clear();
    Ok(())
}

fn poll_send<I: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut MonitoredStream<I>,
    answer: &[u8],
    sent: &mut usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while let Some(left @ [_, ..]) = answer.get(*sent..) {
        match ready!(Pin::new(&mut *stream).poll_write(context, left))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *sent += count,
        }
    }
    Pin::new(&mut *stream).poll_flush(context)
}
