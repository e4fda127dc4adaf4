//! Plain requests that a surface answers without hyper.
//!
//! A loop reads a request, has it answered and writes the answer before it looks at the next one. At a request
//! that it cannot answer, hyper gets the connection for a turn, with all bytes that have arrived. The turn ends
//! when hyper has answered a request that the loop takes, too. The limits are those of hyper's connections,
//! because both use the same stream, activity and shutdown signal.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::plain::{HEADERS_MAX, Judged, judge};
use super::requests::{Connection, Exchange, first_byte};
use super::stream::{MonitoredStream, RECEIVED_BYTES};
use crate::base::http::surface::{PlainAnswer, Shutdown, Surface, stopped};

/// Initial size of the buffer for an answer: a head of 350 bytes and a token of 2 kB.
const ANSWER_BYTES: usize = 3 * 1024;

/// Result of looking at the bytes that have arrived.
enum Step {
    /// An answer is ready. The request has this length.
    Answered(usize),
    /// More bytes are needed.
    Incomplete,
    /// hyper must look at the bytes.
    Lend,
}

/// Event that a connection without a complete request waits for.
enum Event {
    /// This many bytes have arrived.
    Bytes(usize),
    /// The peer has closed the connection.
    End,
    /// The process ends.
    Stop,
}

/// End of the loop.
enum Next {
    Close,
    Hyper,
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
        loop {
            match answer_plain_requests(&mut stream, &exchange, &mut shutdown).await {
                Ok(Next::Hyper) => {}
                Ok(Next::Close) => return close(&mut stream).await,
                Err(error) => {
                    let peer = exchange.peer.addr;
                    return tracing::debug!(%peer, %error, "a connection ended early");
                }
            }
            // Boxed, because hyper's part is large and most connections do not need it.
            let served = Box::pin(exchange.serve_with_hyper(stream, &mut shutdown)).await;
            let Some(returned) = served else { return };
            stream = returned;
        }
    }
}

/// Answers requests until the connection ends, or until hyper must look at the bytes that have arrived. In the
/// second case the stream is prepared for hyper.
async fn answer_plain_requests<S: Surface, I: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut MonitoredStream<I>,
    exchange: &Exchange<S>,
    shutdown: &mut Shutdown,
) -> io::Result<Next> {
    let mut stop = std::pin::pin!(stopped(shutdown));
    let mut received = Received::new(&stream.take_back());
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    loop {
        match exchange.look_at(received.unread(), &mut answer) {
            Step::Answered(len) => {
                received.consume(len);
                let _charge = exchange.budget.charge_bytes(answer.len());
                send(stream, &mut answer).await?;
                continue;
            }
            Step::Lend => {
                stream.lend(received.unread());
                return Ok(Next::Hyper);
            }
            Step::Incomplete => {}
        }
        match receive(stream, received.free(), stop.as_mut()).await? {
            Event::Bytes(count) => received.add(count),
            Event::End => return Ok(Next::Close),
            Event::Stop if received.unread().is_empty() => return Ok(Next::Close),
            Event::Stop => {
                stream.lend(received.unread());
                return Ok(Next::Hyper);
            }
        }
    }
}

impl<S: Surface> Exchange<S> {
    /// Answers the request at the start of `received`, if it is complete and plain.
    fn look_at(&self, received: &[u8], answer: &mut Vec<u8>) -> Step {
        // More bytes may have arrived during a turn of hyper.
        let first = received.get(..RECEIVED_BYTES).unwrap_or(received);
        let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
        let request = match judge(first, &mut headers) {
            Judged::Plain(request) => request,
            Judged::Incomplete if first.len() < RECEIVED_BYTES => return Step::Incomplete,
            Judged::Incomplete | Judged::Other => return Step::Lend,
        };
        if !self.budget.has_room() {
            return Step::Lend;
        }
        match self.surface.answer_plain(&self.caller, &request, answer) {
            PlainAnswer::Appended => {
                // There is no moment between the beginning of the request and its answer.
                self.slot.activity.finish();
                Step::Answered(request.len)
            }
            PlainAnswer::Left => Step::Lend,
        }
    }
}

/// Bytes that have arrived and were not answered yet.
struct Received {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Received {
    /// Creates a buffer that contains the bytes that have arrived before.
    fn new(arrived: &[u8]) -> Self {
        let mut bytes = arrived.to_vec();
        bytes.resize(arrived.len().max(RECEIVED_BYTES), 0);
        Self { bytes: bytes.into_boxed_slice(), start: 0, end: arrived.len() }
    }

    fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Returns the free part of the buffer, which is not empty unless the unread bytes fill it.
    fn free(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn add(&mut self, count: usize) {
        self.end += count;
    }
}

/// Waits for bytes, for the end of the stream or for the end of the process.
async fn receive<I: AsyncRead + Unpin>(
    stream: &mut MonitoredStream<I>,
    free: &mut [u8],
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<Event> {
    poll_fn(|context| {
        let mut buffer = ReadBuf::new(free);
        match stream.poll_receive(context, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(match buffer.filled().len() {
                0 => Event::End,
                count => Event::Bytes(count),
            })),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => stop.as_mut().poll(context).map(|()| Ok(Event::Stop)),
        }
    })
    .await
}

/// Writes the whole answer, and clears it.
async fn send<I: AsyncWrite + Unpin>(
    stream: &mut MonitoredStream<I>,
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    let mut sent = 0;
    poll_fn(|context| {
        while let Some(left @ [_, ..]) = answer.get(sent..) {
            match ready!(Pin::new(&mut *stream).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => sent += count,
            }
        }
        Pin::new(&mut *stream).poll_flush(context)
    })
    .await?;
    answer.clear();
    Ok(())
}

/// Ends the sending side. The peer may have closed the connection before.
async fn close<I: AsyncWrite + Unpin>(stream: &mut MonitoredStream<I>) {
    let _ = poll_fn(|context| Pin::new(&mut *stream).poll_shutdown(context)).await;
}
