//! Rotates the signing keys on demand, and reads what is published as any verifier could.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::churn::describe;
use super::writes::Writes;
use crate::clock::Monotonic;
use crate::load::fetch::{self, Conversation, Question};
use crate::load::target::HttpUrl;
use crate::load::verify::Keys;
use crate::load::verify::moment::{Fetched, Span};

/// Has the keys rotated.
#[derive(Debug)]
pub(super) struct Rotator {
    admin: HttpUrl,
    clock: Monotonic,
    left: u32,
    pub(super) rotations: Vec<Span>,
    pub(super) writes: Writes,
}

impl Rotator {
    pub(super) fn new(admin: HttpUrl, clock: Monotonic, rotations: u32) -> Self {
        let writes = Writes::default();
        Self { admin, clock, left: rotations, rotations: Vec::new(), writes }
    }

    /// Has them rotated once, and ends after the last time.
    pub(super) fn rotate(&mut self) -> ControlFlow<()> {
        let Some(left) = self.left.checked_sub(1) else { return ControlFlow::Break(()) };
        self.left = left;
        let begin_ns = self.clock.now_ns();
        let answer = self.ask();
        let end_ns = self.clock.now_ns();
        // One that failed may have happened all the same.
        self.rotations.push(Span { begin_ns, end_ns });
        match answer {
            Ok(()) => self.writes.succeeded(end_ns.saturating_sub(begin_ns)),
            Err(reason) => self.writes.failed(reason),
        }
        ControlFlow::Continue(())
    }

    fn ask(&self) -> Result<(), String> {
        let question = Question {
            method: "POST",
            path: "/signing-keys/rotate",
            headers: "X-Mintbench-Admin: true\r\n",
            body: "",
        };
        // Seconds may pass until the next one: a kept connection may be closed by then.
        let answer = Conversation::with(self.admin.clone()).ask(&question);
        let reply = answer.map_err(|error| describe(&error))?;
        match reply.status {
            200 => Ok(()),
            status => Err(format!("status {status}: {}", reply.body)),
        }
    }
}

/// Reads the published keys again and again.
#[derive(Debug)]
pub(super) struct Poller {
    /// Exactly where they are.
    jwks: HttpUrl,
    clock: Monotonic,
    /// What was read last, so that equal sets are kept once.
    text: String,
    pub(super) fetched: Vec<Fetched>,
    pub(super) failures: u64,
}

impl Poller {
    pub(super) const fn new(jwks: HttpUrl, clock: Monotonic) -> Self {
        Self { jwks, clock, text: String::new(), fetched: Vec::new(), failures: 0 }
    }

    /// Reads them once.
    pub(super) fn poll(&mut self) -> ControlFlow<()> {
        let begin_ns = self.clock.now_ns();
        let text = fetch::get(&self.jwks, "");
        let end_ns = self.clock.now_ns();
        let kept = text.is_ok_and(|text| self.keep(text, Span { begin_ns, end_ns }).is_ok());
        self.failures += u64::from(!kept);
        ControlFlow::Continue(())
    }

    fn keep(&mut self, text: String, span: Span) -> Result<(), serde_json::Error> {
        let known = self.fetched.last().filter(|_| text == self.text);
        let keys = match known {
            Some(fetched) => Arc::clone(&fetched.keys),
            None => Arc::new(Keys::parse(&text)?),
        };
        self.text = text;
        self.fetched.push(Fetched { span, keys });
        Ok(())
    }
}
