//! A token source that is down, slow, flapping or lying. Its tokens are those of the broker's own issuer.

use std::sync::Arc;

use mintbench::base::clock::{Seconds, UnixSeconds};
use mintbench::base::ids::ClientId;
use mintbench::service::token::{Entropy, Issuer, MintError, Subject, Token, TokenSource};
use parking_lot::Mutex;

use crate::actors::{self, Stop};
use crate::clock::{Dice, VirtualClock};
use crate::token::Claims;

/// Longest time of one call, in seconds: the broker then gives a source up.
pub(crate) const CALL_MAX: u64 = 9;

/// State of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceMode {
    /// Every call fails at once.
    Down,
    /// Each call is answered as in one of the other states.
    Flapping,
    /// Every call fails after [`CALL_MAX`].
    Hanging,
    /// Every answer is wrong.
    Lying(Lie),
    /// The next call panics.
    Panicking,
    /// A call takes so many seconds.
    Slow(u64),
    /// Calls take no time.
    Up,
}

/// Flaw of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The token is for another resource.
    Audience,
    /// The token has expired. The answer says that it lives.
    Expired,
    /// The answer is no JSON.
    Garbage,
    /// The token belongs to another identity.
    Identity,
    /// The token is not valid yet.
    NotYet,
}

pub(crate) const LIES: [Lie; 5] =
    [Lie::Audience, Lie::Expired, Lie::Garbage, Lie::Identity, Lie::NotYet];

/// The cache key of a call, in words: principal, machine, resource.
pub(crate) type CallKey = (String, Option<String>, String);

/// Something that happened at the source.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A call began.
    Asked { number: u64, key: CallKey },
    /// The call of this number ended with a token.
    Minted { number: u64, claims: Claims, jwt: String },
    /// The call of this number ended with an error, or panicked.
    Failed { number: u64, has_panicked: bool },
}

#[derive(Debug)]
struct State {
    mode: SourceMode,
    calls: u64,
    events: Vec<Event>,
}

/// The source.
#[derive(Debug)]
pub(crate) struct Source {
    issuer: Issuer,
    lifetime: u64,
    state: Mutex<State>,
    clock: Arc<VirtualClock>,
    dice: Arc<Dice>,
}

impl Source {
    pub(crate) fn new(
        issuer: Issuer,
        lifetime: u64,
        mode: SourceMode,
        clock: &Arc<VirtualClock>,
        dice: &Arc<Dice>,
    ) -> Self {
        let state = Mutex::new(State { mode, calls: 0, events: Vec::new() });
        Self { issuer, lifetime, state, clock: Arc::clone(clock), dice: Arc::clone(dice) }
    }

    pub(crate) fn set(&self, mode: SourceMode) {
        self.state.lock().mode = mode;
    }

    /// Returns what has happened since the last call.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state.lock().events)
    }

    fn mode(&self) -> SourceMode {
        let mut state = self.state.lock();
        match state.mode {
            SourceMode::Panicking => {
                state.mode = SourceMode::Up;
                SourceMode::Panicking
            }
            SourceMode::Flapping => match self.dice.below(6) {
                0 | 1 => SourceMode::Down,
                2 => SourceMode::Hanging,
                3 => SourceMode::Slow(1 + self.dice.below(CALL_MAX)),
                _ => SourceMode::Up,
            },
            mode => mode,
        }
    }

    /// Takes the time of a call. Returns false if the process dies meanwhile.
    fn spend(&self, mode: SourceMode) -> bool {
        let seconds = match mode {
            SourceMode::Slow(seconds) => seconds,
            SourceMode::Hanging => CALL_MAX,
            _ if self.dice.one_in(2) => 0,
            _ => return true,
        };
        let until = self.clock.second() + seconds;
        actors::stop(if seconds == 0 { Stop::Ready } else { Stop::Until(until) })
    }

    fn answer(
        &self,
        mode: SourceMode,
        (subject, resource, now, entropy): (&Subject<'_>, &str, UnixSeconds, &Entropy),
    ) -> Result<Token, MintError> {
        let mint = || self.issuer.mint(subject, resource, now, entropy);
        let lie = match mode {
            SourceMode::Lying(lie) => lie,
            SourceMode::Down | SourceMode::Hanging => return Err(unavailable("it is down")),
            // Does not print, as `panic!` does.
            SourceMode::Panicking => std::panic::resume_unwind(Box::new("a source that panics")),
            SourceMode::Flapping | SourceMode::Slow(_) | SourceMode::Up => {
                let early = self.dice.one_in(2).then(mint);
                // The answer to a slow call may be made at its begin or at its end.
                if !self.spend(mode) {
                    return Err(unavailable("the process ends"));
                }
                return early.unwrap_or_else(mint);
            }
        };
        let lives = self.lifetime;
        let (lied, expires) = match lie {
            Lie::Audience => (
                self.issuer.mint(subject, "https://graph.microsoft.com/", now, entropy),
                now.0 + lives,
            ),
            Lie::Expired => {
                let then = now - Seconds(2 * lives);
                (self.issuer.mint(subject, resource, then, entropy), now.0 + lives)
            }
            Lie::Garbage => return read(b"<html>busy</html>", subject, resource, now),
            Lie::Identity => {
                let other = Subject { client_id: ClientId::from_bytes([7; 16]), ..*subject };
                (self.issuer.mint(&other, resource, now, entropy), now.0 + lives)
            }
            Lie::NotYet => {
                let then = now + Seconds(2000);
                (self.issuer.mint(subject, resource, then, entropy), then.0 + lives)
            }
        };
        let jwt = lied?.jwt().to_owned();
        let body = serde_json::json!({
            "access_token": jwt,
            "expires_in": lives.to_string(),
            "expires_on": expires.to_string(),
        });
        read(body.to_string().as_bytes(), subject, resource, now)
    }
}

/// Reads an answer as the broker's remote source does.
fn read(
    body: &[u8],
    subject: &Subject<'_>,
    resource: &str,
    now: UnixSeconds,
) -> Result<Token, MintError> {
    let token = Token::from_answer(body, subject.client_id, resource, now);
    token.ok_or_else(|| unavailable("its answer holds no token"))
}

fn unavailable(reason: &str) -> MintError {
    MintError::Unavailable(reason.to_owned())
}

impl TokenSource for Source {
    fn mint(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<Token, MintError> {
        let key = (
            subject.principal_id.to_string(),
            subject.caller_id.or(subject.resource_id).map(ToString::to_string),
            resource.to_owned(),
        );
        let number = {
            let mut state = self.state.lock();
            state.calls += 1;
            let number = state.calls;
            state.events.push(Event::Asked { number, key });
            number
        };
        let mode = self.mode();
        if !matches!(mode, SourceMode::Slow(_) | SourceMode::Up) {
            self.spend(mode);
        }
        let failed = Guard { source: self, number };
        let token = self.answer(mode, (subject, resource, now, entropy));
        let token = token?;
        std::mem::forget(failed);
        let (claims, jwt) = (Claims::of(token.jwt()).unwrap(), token.jwt().to_owned());
        self.state.lock().events.push(Event::Minted { number, claims, jwt });
        Ok(token)
    }
}

/// Notes a failed call, also if it panics.
struct Guard<'a> {
    source: &'a Source,
    number: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let has_panicked = std::thread::panicking();
        let failed = Event::Failed { number: self.number, has_panicked };
        self.source.state.lock().events.push(failed);
    }
}
