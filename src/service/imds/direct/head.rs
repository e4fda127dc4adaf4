//! Head of an answer with a token.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::base::clock::UnixSeconds;
use crate::base::http::Payload;
use crate::service::broker::Via;
use crate::service::imds::reply::{REQUEST_ID, mark, token_reply};

/// The heads of answers by the origin of the token.
#[derive(Debug)]
pub(super) struct Heads {
    hit: Head,
    miss: Head,
    coalesced: Head,
}

impl Default for Heads {
    fn default() -> Self {
        let [hit, miss, coalesced] = [Via::Hit, Via::Miss, Via::Coalesced].map(Head::new);
        Self { hit, miss, coalesced }
    }
}

impl Heads {
    pub(super) const fn of(&mut self, via: Via) -> &mut Head {
        match via {
            Via::Hit => &mut self.hit,
            Via::Miss => &mut self.miss,
            Via::Coalesced => &mut self.coalesced,
        }
    }
}

/// Head of the answer, rendered once from the response of hyper's path and in the form that hyper writes. It is kept
/// from answer to answer, and only what differs is written again.
#[derive(Debug)]
pub(super) struct Head {
    text: Vec<u8>,
    /// Position of the id of the request.
    id_at: usize,
    /// Position of the length of the body, and of all that may differ after it.
    len_at: usize,
    body_bytes: usize,
    at: UnixSeconds,
    /// Last lines, which change once a second.
    date: Vec<u8>,
}

impl Head {
    fn new(via: Via) -> Self {
        let mut response = token_reply(via, Payload::default());
        mark(response.headers_mut(), Uuid::nil());
        let (mut text, mut id_at) = (b"HTTP/1.1 200 OK\r\n".to_vec(), 0);
        for (name, value) in response.headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            if *name == REQUEST_ID {
                id_at = text.len();
            }
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"content-length: ");
        let len_at = text.len();
        Self { text, id_at, len_at, body_bytes: 0, at: UnixSeconds(0), date: Vec::new() }
    }

    /// Appends the head of an answer at `now` whose body has `body_bytes` bytes.
    pub(super) fn append(
        &mut self,
        request_id: Uuid,
        body_bytes: usize,
        now: UnixSeconds,
        answer: &mut Vec<u8>,
    ) {
        if (self.at, self.body_bytes) != (now, body_bytes) || self.date.is_empty() {
            self.render(body_bytes, now);
        }
        if let Some(id) = self.text.get_mut(self.id_at..self.id_at + Hyphenated::LENGTH) {
            request_id.hyphenated().encode_lower(id);
        }
        answer.extend_from_slice(&self.text);
    }

    /// Writes the length of the body and the date.
    fn render(&mut self, body_bytes: usize, now: UnixSeconds) {
        if self.at != now || self.date.is_empty() {
            write_date(&mut self.date, now);
        }
        (self.body_bytes, self.at) = (body_bytes, now);
        self.text.truncate(self.len_at);
        self.text.extend_from_slice(itoa::Buffer::new().format(body_bytes).as_bytes());
        self.text.extend_from_slice(&self.date);
    }
}

/// Writes the end of the line before `Date`, this header, and the empty line.
fn write_date(date: &mut Vec<u8>, at: UnixSeconds) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(at.0.min(LAST_SECOND));
    date.clear();
    // Writing to a vector cannot fail.
    let _ = write!(date, "\r\ndate: {}\r\n\r\n", HttpDate::from(time));
}

/// Last second of the year 9999, the last one that the format can express.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(now: UnixSeconds) -> String {
        let mut answer = Vec::new();
        Head::new(Via::Hit).append(Uuid::from_u128(7), 2048, now, &mut answer);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn a_head_has_the_lines_of_hypers_path_in_their_order() {
        let head = head(UnixSeconds(784_111_777));
        let lines: Vec<&str> = head.split("\r\n").collect();
        assert_eq!(lines[0], "HTTP/1.1 200 OK");
        assert_eq!(lines[1], "content-type: application/json; charset=utf-8");
        assert_eq!(lines[2], "x-mintbench-cache: hit");
        assert!(lines[3].starts_with("server: IMDS/"));
        assert_eq!(
            lines[4..],
            [
                "x-ms-request-id: 00000000-0000-0000-0000-000000000007",
                "content-length: 2048",
                "date: Sun, 06 Nov 1994 08:49:37 GMT",
                "",
                ""
            ]
        );
    }

    #[test]
    fn no_moment_panics() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_475_419_451, "Sun, 02 Oct 2016 14:44:11 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let mut date = Vec::new();
            write_date(&mut date, UnixSeconds(seconds));
            assert_eq!(date, format!("\r\ndate: {text}\r\n\r\n").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn a_head_that_is_kept_is_the_same_as_a_new_one(
            answers in proptest::collection::vec((any::<u128>(), 0..3_usize, 0..3_u64), 1..20),
        ) {
            let mut kept = Head::new(Via::Miss);
            for (id, len, now) in answers {
                let (id, len, now) = (Uuid::from_u128(id), 99 + len, UnixSeconds(now));
                let (mut answer, mut expected) = (Vec::new(), Vec::new());
                kept.append(id, len, now, &mut answer);
                Head::new(Via::Miss).append(id, len, now, &mut expected);
                prop_assert_eq!(answer, expected);
            }
        }
    }
}
