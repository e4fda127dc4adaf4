//! A session with a server that has them, from its opening to its end.

use super::recipe::SESSION_SECONDS;
use crate::secret::Redacted;

/// The secret of a session, and until when it counts.
#[derive(Clone, Debug)]
pub(in crate::load) struct Lease {
    secret: Redacted,
    until_ns: u64,
}

/// A session is not used in its last minute: a request may be under way for long.
const MARGIN_SECONDS: u64 = 60;

impl Lease {
    /// The session that an answer of this status and content, to the request that opens one, has
    /// opened at `now_ns`; `None` when it has not.
    pub(in crate::load) fn opened(status: u16, body: &[u8], now_ns: u64) -> Option<Self> {
        let secret = body.trim_ascii();
        // It goes into a header field.
        let fits = !secret.is_empty() && secret.iter().all(u8::is_ascii_graphic);
        let secret = Redacted::new(secret.to_vec());
        let until_ns = now_ns + (SESSION_SECONDS - MARGIN_SECONDS) * 1_000_000_000;
        (status == 200 && fits).then_some(Self { secret, until_ns })
    }

    /// The secret, while it counts.
    pub(in crate::load) fn secret(&self, now_ns: u64) -> Option<&Redacted> {
        (now_ns < self.until_ns).then_some(&self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_a_minute_before_the_server_ends_it() {
        let lease = Lease::opened(200, b"AQAE==\n", 5).unwrap();
        let minute_before = 5 + 21_540 * 1_000_000_000;
        assert_eq!(lease.secret(minute_before - 1).map(Redacted::expose), Some(&b"AQAE=="[..]));
        assert!(lease.secret(minute_before).is_none());
    }

    #[test]
    fn what_is_no_secret_opens_nothing() {
        for (status, body) in [(403, "x"), (200, ""), (200, "a b"), (200, "a\r\nb: c")] {
            assert!(Lease::opened(status, body.as_bytes(), 0).is_none(), "{status} {body}");
        }
    }
}
