//! Activity of a connection. The thread that serves it writes the activity, and the limiter reads it to make
//! room.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::task::AbortHandle;

use super::tally::Tally;
use super::turn::Turn;
use crate::base::clock::Monotonic;

/// Seconds since the start, the same for all connections.
///
/// Requests read a number in memory instead of a clock. The loop of each surface updates it.
#[derive(Debug)]
pub(crate) struct CoarseClock {
    clock: Monotonic,
    seconds: AtomicU32,
}

impl CoarseClock {
    pub(crate) fn start() -> Self {
        Self { clock: Monotonic::start(), seconds: AtomicU32::new(0) }
    }

    /// Updates the seconds.
    pub(crate) fn tick(&self) {
        let seconds = u32::try_from(self.clock.now_ns() / 1_000_000_000).unwrap_or(u32::MAX);
        self.seconds.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn now_s(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn set(&self, seconds: u32) {
        self.seconds.store(seconds, Ordering::Relaxed);
    }
}

/// Idle timeout: two minutes. It is longer than the keep-alive of the Azure SDKs' HTTP clients, so that they
/// close first.
pub(crate) const SILENT_S: u32 = 120;

/// Time for a peer to read an answer, or 256 kB of a longer one.
pub(crate) const STALLED_S: u32 = 30;

/// Time for which a request in flight protects its connection from being closed to make room. The longest
/// wait of a request, in a full mint queue, is about as long.
const PROTECTED_S: u32 = 10;

/// Time for a client to send its first request. Clients send it as soon as they have connected.
const FRESH_S: u32 = 2;

/// Length of a chunked request body, which is unknown until its last chunk.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// State of a connection when room is needed, in the order of closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConnectionState {
    /// No request has arrived.
    Silent,
    /// The last request is answered.
    Idle,
    /// A request takes long, or the peer reads its answer slowly.
    Slow,
    /// Only just opened.
    Fresh,
}

/// Order in which connections of a caller are closed: state, second of the last activity, number.
pub(crate) type Rank = (ConnectionState, u32, u64);

const NEW: u32 = 0;
const BUSY: u32 = 1;
const IDLE: u32 = 2;
const PHASE_BITS: u32 = 2;

/// Activity of one connection. Only the thread that serves the connection writes it, except its end, so
/// `Relaxed` is enough.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Number of the connection within the process.
    pub(crate) number: u64,
    pub(crate) tally: Arc<Tally>,
    clock: Arc<CoarseClock>,
    /// Second of the last change of the phase, and the phase in the lowest bits.
    state: AtomicU32,
    /// Second since which the peer reads too little, plus 1. It is 0 while the peer reads everything.
    unsent_since: AtomicU32,
    /// Length of the body of the last request, in bytes.
    body_bytes: AtomicU64,
    /// Turn of hyper, if the connection is also served without it.
    pub(crate) turn: Turn,
    is_ended: AtomicBool,
    task: OnceLock<AbortHandle>,
}

impl Activity {
    pub(crate) fn new(number: u64, tally: Arc<Tally>, clock: Arc<CoarseClock>) -> Self {
        let state = AtomicU32::new((clock.now_s() << PHASE_BITS) | NEW);
        Self {
            number,
            tally,
            clock,
            state,
            unsent_since: AtomicU32::new(0),
            body_bytes: AtomicU64::new(0),
            turn: Turn::default(),
            is_ended: AtomicBool::new(false),
            task: OnceLock::new(),
        }
    }

    /// Marks the beginning of a request whose body has `body_bytes` bytes.
    pub(crate) fn begin(&self, body_bytes: u64) {
        self.body_bytes.store(body_bytes, Ordering::Relaxed);
        self.turn.ask(body_bytes);
        self.mark(BUSY);
    }

    /// Marks that the request is answered.
    pub(crate) fn finish(&self) {
        self.mark(IDLE);
    }

    /// Returns true if the last request is answered and no other one has begun.
    pub(crate) fn has_answered(&self) -> bool {
        self.phase() == IDLE
    }

    /// Returns true while a request is carried out, or while its answer is not read.
    pub(crate) fn has_request(&self) -> bool {
        self.phase() == BUSY || self.unsent_since.load(Ordering::Relaxed) > 0
    }

    fn phase(&self) -> u32 {
        self.state.load(Ordering::Relaxed) & ((1 << PHASE_BITS) - 1)
    }

    fn mark(&self, phase: u32) {
        self.state.store((self.clock.now_s() << PHASE_BITS) | phase, Ordering::Relaxed);
    }

    /// Returns the length of the body of the last request, in bytes, or [`UNBOUNDED`] when unknown.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Starts the timeout of a peer that does not read.
    pub(crate) fn mark_unsent(&self) {
        self.unsent_since.store(self.clock.now_s() + 1, Ordering::Relaxed);
    }

    /// Marks that the peer has read everything.
    pub(crate) fn mark_sent(&self) {
        self.unsent_since.store(0, Ordering::Relaxed);
    }

    /// Sets the task that serves the connection.
    pub(crate) fn served_by(&self, task: AbortHandle) {
        let task = self.task.get_or_init(|| task);
        if self.is_ended.load(Ordering::SeqCst) {
            task.abort();
        }
    }

    /// Ends the connection. Its thread closes it soon.
    pub(crate) fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// Returns the position in the order of closing, or `None` when the connection must not be closed.
    pub(crate) fn rank(&self) -> Option<Rank> {
        let now_s = self.clock.now_s();
        let state = self.state.load(Ordering::Relaxed);
        let (phase, last_s) = (state & ((1 << PHASE_BITS) - 1), state >> PHASE_BITS);
        let age_s = now_s.saturating_sub(last_s);
        let is_unsent = self.unsent_since.load(Ordering::Relaxed) > 0;
        let closing_state = match phase {
            NEW if age_s < FRESH_S => ConnectionState::Fresh,
            NEW => ConnectionState::Silent,
            IDLE if !is_unsent => ConnectionState::Idle,
            _ if age_s < PROTECTED_S => return None,
            _ => ConnectionState::Slow,
        };
        Some((closing_state, last_s, self.number))
    }

    /// Returns true if the connection has sent no request for too long.
    pub(crate) fn is_silent(&self) -> bool {
        let last_s = self.state.load(Ordering::Relaxed) >> PHASE_BITS;
        self.clock.now_s().saturating_sub(last_s) > SILENT_S
    }

    /// Returns true if the peer has not read its answer for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        let since = self.unsent_since.load(Ordering::Relaxed);
        since > 0 && (self.clock.now_s() + 1).saturating_sub(since) > STALLED_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(clock: &Arc<CoarseClock>, number: u64) -> Activity {
        Activity::new(number, Arc::new(Tally::new("test")), Arc::clone(clock))
    }

    #[test]
    fn silent_connections_go_before_idle_ones_and_a_request_in_flight_stays() {
        let clock = Arc::new(CoarseClock::start());
        let [silent, idle, busy, unread] = [0, 1, 2, 3].map(|number| activity(&clock, number));
        assert_eq!(silent.rank().unwrap().0, ConnectionState::Fresh);
        for asked in [&idle, &busy, &unread] {
            asked.begin(0);
        }
        idle.finish();
        unread.finish();
        unread.mark_unsent();
        clock.set(FRESH_S);
        assert!(silent.rank().unwrap() < idle.rank().unwrap());
        assert_eq!([busy.rank(), unread.rank()], [None, None]);
        clock.set(PROTECTED_S);
        assert!(idle.rank().unwrap() < busy.rank().unwrap());
        assert!(busy.rank().unwrap() < unread.rank().unwrap());
    }

    #[test]
    fn a_peer_that_takes_nothing_is_stalled_and_one_that_goes_on_is_not() {
        let clock = Arc::new(CoarseClock::start());
        let peer = activity(&clock, 0);
        peer.mark_unsent();
        clock.set(STALLED_S);
        assert!(!peer.is_stalled());
        clock.set(STALLED_S + 1);
        assert!(peer.is_stalled());
        peer.mark_sent();
        assert!(!peer.is_stalled());
    }

    #[tokio::test]
    async fn a_connection_that_is_ended_before_its_task_is_known_ends() {
        let clock = Arc::new(CoarseClock::start());
        let ended = activity(&clock, 0);
        ended.end();
        let task = tokio::spawn(std::future::pending::<()>());
        ended.served_by(task.abort_handle());
        assert!(task.await.unwrap_err().is_cancelled());
    }
}
