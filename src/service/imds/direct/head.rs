//! Head of the answer to a hit.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::base::clock::UnixSeconds;
use crate::base::http::Payload;
use crate::service::broker::Via;
use crate::service::imds::reply::{REQUEST_ID, mark, token_reply};

/// Head of the answer, rendered once from the response of hyper's path and in the form that hyper writes.
#[derive(Debug)]
pub(super) struct Head {
    /// Text up to the id of the request.
    before_id: Vec<u8>,
    /// Text from there to the length of the body.
    after_id: Vec<u8>,
    date: Date,
}

impl Default for Head {
    fn default() -> Self {
        let mut response = token_reply(Via::Hit, Payload::default());
        mark(response.headers_mut(), Uuid::nil());
        let (mut before_id, mut after_id) = (b"HTTP/1.1 200 OK\r\n".to_vec(), Vec::new());
        let mut text = &mut before_id;
        for (name, value) in response.headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            if *name == REQUEST_ID {
                text = &mut after_id;
            } else {
                text.extend_from_slice(value.as_bytes());
            }
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"content-length: ");
        Self { before_id, after_id, date: Date::default() }
    }
}

impl Head {
    /// Appends the head of an answer at `now` whose body has `body_bytes` bytes.
    pub(super) fn append(
        &mut self,
        request_id: Uuid,
        body_bytes: usize,
        now: UnixSeconds,
        answer: &mut Vec<u8>,
    ) {
        let mut id = [0; Hyphenated::LENGTH];
        answer.extend_from_slice(&self.before_id);
        answer.extend_from_slice(request_id.hyphenated().encode_lower(&mut id).as_bytes());
        answer.extend_from_slice(&self.after_id);
        answer.extend_from_slice(itoa::Buffer::new().format(body_bytes).as_bytes());
        answer.extend_from_slice(self.date.line(now));
    }
}

/// The last lines of a head, which change once a second.
#[derive(Debug)]
struct Date {
    at: UnixSeconds,
    line: Vec<u8>,
}

impl Default for Date {
    fn default() -> Self {
        let mut date = Self { at: UnixSeconds(0), line: Vec::new() };
        date.render();
        date
    }
}

impl Date {
    /// Returns the end of the line before `Date`, this header, and the empty line.
    fn line(&mut self, now: UnixSeconds) -> &[u8] {
        if self.at != now {
            self.at = now;
            self.render();
        }
        &self.line
    }

    fn render(&mut self) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.at.0.min(LAST_SECOND));
        self.line.clear();
        // Writing to a vector cannot fail.
        let _ = write!(self.line, "\r\ndate: {}\r\n\r\n", HttpDate::from(time));
    }
}

/// Last second of the year 9999, the last one that the format can express.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(now: UnixSeconds) -> String {
        let mut answer = Vec::new();
        Head::default().append(Uuid::from_u128(7), 2048, now, &mut answer);
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
    fn the_date_follows_the_clock_in_both_directions_and_no_moment_panics() {
        let mut date = Date::default();
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_475_419_451, "Sun, 02 Oct 2016 14:44:11 GMT"),
            (1_475_419_450, "Sun, 02 Oct 2016 14:44:10 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let line = String::from_utf8(date.line(UnixSeconds(seconds)).to_vec()).unwrap();
            assert_eq!(line, format!("\r\ndate: {text}\r\n\r\n"));
        }
    }
}
