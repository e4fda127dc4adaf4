//! The log line of a refused request.
//!
//! Surfaces attach the reason to their answer. The connection, which knows the peer, writes the line at level
//! `info`. The first [`BURST`] lines of a surface are written at once, later ones once a second. The next
//! line says how many were left out. With at most 1 kB a line, a flood of one surface writes less than 90 MB
//! a day.

use std::error::Error;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::LazyLock;

use hyper::{Method, Request, Response, Uri};
use parking_lot::Mutex;

use super::log_rate::LogRate;
use super::message::Payload;
use crate::base::clock::Monotonic;

/// Burst of log lines of a surface.
const BURST: u64 = 1000;

/// Seconds until another line is allowed.
const PERIOD_S: u64 = 1;

/// Longest client text in a line, in bytes.
const TEXT_BYTES_MAX: usize = 250;

/// Reason for a refusal. Never leaves this process.
#[derive(Clone, Debug)]
struct Reason(String);

/// Method and URI of a request, kept until the request is answered.
#[derive(Debug)]
pub(super) struct RequestLine {
    method: Method,
    uri: Uri,
}

/// Returns true if refusals are logged at all.
fn is_logged() -> bool {
    tracing::enabled!(tracing::Level::INFO)
}

/// Attaches the reason to a refusal, for the log. It contains no secret of the request.
pub(crate) fn give_reason(refusal: &mut Response<Payload>, error: &dyn Error) {
    if !is_logged() {
        return;
    }
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(reason, ": {error}");
        cause = error.source();
    }
    refusal.extensions_mut().insert(Reason(reason));
}

/// Returns the parts of the request that the log line needs, or `None` when refusals are not logged.
pub(super) fn asked<B>(request: &Request<B>) -> Option<Box<RequestLine>> {
    // The query and the body may contain secrets.
    let of = || RequestLine { method: request.method().clone(), uri: request.uri().clone() };
    is_logged().then(|| Box::new(of()))
}

/// Writes the log line if the answer is a refusal.
pub(super) fn log(
    surface: &'static str,
    peer: SocketAddr,
    asked: Option<Box<RequestLine>>,
    response: &mut Response<Payload>,
) {
    let status = response.status();
    let Some(asked) = asked.filter(|_| status.is_client_error() || status.is_server_error()) else {
        return;
    };
    let reason = response.extensions_mut().remove::<Reason>();
    let reason = reason.map_or_else(
        || status.canonical_reason().unwrap_or_default().to_owned(),
        |Reason(reason)| reason,
    );
    if let Some(left_out) = line(surface) {
        let (method, path) = (short(asked.method.as_str()), short(asked.uri.path()));
        let (status, reason) = (status.as_u16(), short(&reason));
        tracing::info!(surface, %peer, %method, %path, status, left_out, %reason, "a request was refused");
    }
}

/// Writes the log line of a connection that sent no readable request.
pub(super) fn log_connection(surface: &'static str, peer: SocketAddr, error: &dyn Error) {
    if !is_logged() {
        return;
    }
    if let Some(left_out) = line(surface) {
        let reason = short(&error.to_string());
        tracing::info!(surface, %peer, left_out, %reason, "a connection was refused");
    }
}

/// Returns the beginning of a text as one line of printable ASCII, so that a client cannot forge a log line.
fn short(text: &str) -> String {
    let mut line = String::new();
    for char in text.chars() {
        if line.len() >= TEXT_BYTES_MAX {
            break;
        }
        match char {
            ' '..='~' => line.push(char),
            other => line.extend(other.escape_default()),
        }
    }
    line
}

static SINCE_START: LazyLock<Monotonic> = LazyLock::new(Monotonic::start);
static LINES: Mutex<Vec<(&str, LogRate)>> = Mutex::new(Vec::new());

/// Takes a log line of a surface and returns the number of lines left out before it. Each surface has its own
/// limit, so that a flood at one does not hide the lines of others.
fn line(surface: &'static str) -> Option<u64> {
    let mut lines = LINES.lock();
    let known = lines.iter().position(|(name, _)| *name == surface);
    let at = known.unwrap_or(lines.len());
    if known.is_none() {
        lines.push((surface, LogRate::new(BURST, PERIOD_S)));
    }
    lines.get_mut(at)?.1.admit(now_ns())
}

/// Returns the time of the clock that limits log lines, in nanoseconds.
pub(super) fn now_ns() -> u64 {
    SINCE_START.now_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_client_stays_on_its_line() {
        assert_eq!(short("a 'b' \"c\"\n\u{1b}[2J\u{e9}"), r#"a 'b' "c"\n\u{1b}[2J\u{e9}"#);
        assert!(short(&"\u{10ffff}".repeat(1000)).len() < TEXT_BYTES_MAX + 10);
    }

    #[test]
    fn a_flood_at_one_surface_leaves_the_lines_of_another() {
        assert!(
            (0..2 * BURST).filter_map(|_| line("flooded")).count()
                < usize::try_from(2 * BURST).unwrap()
        );
        assert_eq!(line("other"), Some(0));
    }
}
