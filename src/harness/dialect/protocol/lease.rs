//! A session with a server that requires one, from its opening to its end.

use crate::base::secret::Redacted;
use crate::harness::nanos::Nanos;

/// The secret of a session, and the time until which it is used.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    secret: Redacted,
    until: Nanos,
}

/// The session length that AWS grants at most, and that its libraries request: six hours.
pub(crate) const SESSION_SECONDS: u64 = 21_600;

/// The margin at the end of a session in which it is no longer used, because a request may be under
/// way for long. For a short session the margin is the second half.
const MARGIN_SECONDS: u64 = 60;

impl Lease {
    /// Returns the session that an answer with this status and body has opened at `now`, or
    /// `None` if it has opened none. A server may grant less time than requested.
    pub(crate) fn opened(
        status: u16,
        body: &[u8],
        granted_seconds: Option<u64>,
        now: Nanos,
    ) -> Option<Self> {
        let secret = body.trim_ascii();
        // The secret is sent in a header field.
        let fits = !secret.is_empty() && secret.iter().all(u8::is_ascii_graphic);
        let secret = Redacted::new(secret.to_vec());
        let seconds =
            granted_seconds.map_or(SESSION_SECONDS, |granted| granted.min(SESSION_SECONDS));
        let length = Nanos::from_secs(seconds);
        let margin = Nanos::from_secs(MARGIN_SECONDS).min(length / 2);
        let until = now + length - margin;
        (status == 200 && fits && !length.is_zero()).then_some(Self { secret, until })
    }

    /// Returns the secret while the session is in use.
    pub(crate) fn secret(&self, now: Nanos) -> Option<&Redacted> {
        (now < self.until).then_some(&self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_a_minute_before_the_server_ends_it() {
        let lease = Lease::opened(200, b"AQAE==\n", None, Nanos::new(5)).unwrap();
        let minute_before = Nanos::new(5) + Nanos::from_secs(21_540);
        assert_eq!(
            lease.secret(minute_before - Nanos::new(1)).map(Redacted::expose),
            Some(&b"AQAE=="[..])
        );
        assert!(lease.secret(minute_before).is_none());
    }

    #[test]
    fn what_is_no_secret_opens_nothing() {
        for (status, body) in [(403, "x"), (200, ""), (200, "a b"), (200, "a\r\nb: c")] {
            assert!(
                Lease::opened(status, body.as_bytes(), None, Nanos::ZERO).is_none(),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_server_may_grant_less_than_it_is_asked_for() {
        for (granted, until_ms) in [(1, 500), (30, 15_000), (300, 240_000), (u64::MAX, 21_540_000)]
        {
            let lease = Lease::opened(200, b"x", Some(granted), Nanos::ZERO).unwrap();
            assert_eq!(lease.until, Nanos::from_millis(until_ms), "{granted}");
        }
        assert!(Lease::opened(200, b"x", Some(0), Nanos::ZERO).is_none());
    }
}
