//! Rotates the signing keys, rolls the certificates, and reads the published keys as any verifier
//! could.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::AUTHORIZATION;

use super::churn::describe;
use crate::base::clock::Monotonic;
use crate::base::secret::Redacted;
use crate::harness::dialect::fetch;
use crate::harness::dialect::fetch::{Conversation, Question};
use crate::harness::dialect::url::HttpUrl;
use crate::harness::judge::verify::key_timeline::{Fetched, Span};
use crate::harness::judge::verify::keys::Keys;
use crate::harness::nanos::Nanos;
use crate::harness::record::writes::Writes;

/// Admin endpoint of the broker, and the secret that authorizes changes there.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) url: HttpUrl,
    pub(crate) secret: Redacted,
}

/// Actor that requests key rotations.
#[derive(Debug)]
pub(crate) struct Rotator {
    admin: Admin,
    clock: Monotonic,
    left: u32,
    pub(crate) rotations: Vec<Span>,
    pub(crate) writes: Writes,
}

impl Rotator {
    pub(crate) fn new(admin: Admin, clock: Monotonic, rotations: u32) -> Self {
        let writes = Writes::default();
        Self { admin, clock, left: rotations, rotations: Vec::new(), writes }
    }

    /// Requests one rotation. Breaks when none are left.
    pub(crate) fn rotate(&mut self) -> ControlFlow<()> {
        let Some(left) = self.left.checked_sub(1) else { return ControlFlow::Break(()) };
        self.left = left;
        let begin = Nanos::now(self.clock);
        let answer = self.admin.post("/signing-keys/rotate");
        let end = Nanos::now(self.clock);
        // A failed request may still have rotated the keys.
        self.rotations.push(Span { begin, end });
        match answer {
            Ok(_) => self.writes.succeeded(end.saturating_sub(begin)),
            Err(reason) => self.writes.failed(reason),
        }
        ControlFlow::Continue(())
    }
}

/// Actor that has all certificates rolled, once.
#[derive(Debug)]
pub(crate) struct Roller {
    admin: Admin,
    pub(crate) rolled: Result<u64, String>,
}

impl Roller {
    pub(crate) const fn new(admin: Admin) -> Self {
        Self { admin, rolled: Ok(0) }
    }

    pub(crate) fn roll(&mut self) -> ControlFlow<()> {
        self.rolled = self.admin.post("/credentials/roll").and_then(|text| {
            // `5 made, 0 removed`
            let made = text.split(' ').next().and_then(|number| number.parse().ok());
            made.ok_or_else(|| format!("`{text}` does not say how many certificates were made"))
        });
        ControlFlow::Break(())
    }
}

/// Timeout of an admin request. An idle core makes a key in 0.1 s, but the broker's core is under
/// load.
const PATIENCE: Duration = Duration::from_mins(1);

impl Admin {
    /// Sends a request to the admin endpoint, and returns the body of the answer.
    fn post(&self, path: &str) -> Result<String, String> {
        let secret = String::from_utf8_lossy(self.secret.expose());
        let bearer = format!("Bearer {secret}");
        let header = Some((AUTHORIZATION, bearer.as_str()));
        let question = Question { method: &Method::POST, path, header, body: "" };
        // A new connection each time: seconds may pass between requests, and a kept connection may
        // be closed by then.
        let answer = Conversation::with(self.url.clone()).patient(PATIENCE).ask(&question);
        let reply = answer.map_err(|error| describe(&error))?;
        match reply.status {
            200 => Ok(reply.body),
            status => Err(format!("status {status}: {}", reply.body)),
        }
    }
}

/// Actor that reads the published keys again and again.
#[derive(Debug)]
pub(crate) struct Poller {
    /// URL of the published keys.
    jwks: HttpUrl,
    clock: Monotonic,
    /// Text of the last read, so that equal key sets are stored once.
    text: String,
    pub(crate) fetched: Vec<Fetched>,
    pub(crate) failures: u64,
}

impl Poller {
    pub(crate) const fn new(jwks: HttpUrl, clock: Monotonic) -> Self {
        Self { jwks, clock, text: String::new(), fetched: Vec::new(), failures: 0 }
    }

    /// Reads the published keys, and counts a failure.
    pub(crate) fn poll(&mut self) -> ControlFlow<()> {
        let begin = Nanos::now(self.clock);
        let text = fetch::get(&self.jwks, "");
        let end = Nanos::now(self.clock);
        let kept = text.is_ok_and(|text| self.keep(text, Span { begin, end }).is_ok());
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
