//! The invariants: one function for each.

use mintbench::service::broker::{Answer, TokenError};
use mintbench::service::world::SelectError;

use crate::asked::Asked;
use crate::clock::VirtualClock;
use crate::history::{KNOWN, RESOURCES, Settings};
use crate::keys::Published;
use crate::node::Node;
use crate::past::{Past, StepNumber};
use crate::source::CALL_MAX;
use crate::token::Claims;
use crate::world::{AROUND, Expected, Refusal, World};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

#[expect(clippy::fn_params_excessive_bools, reason = "the condition of an assertion")]
fn ensure(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

fn is_of(claims: &Claims, expected: &Expected, asked: &Asked) -> bool {
    claims.client_id == expected.ids.client_id.to_string()
        && claims.principal_id == expected.ids.principal_id.to_string()
        && claims.tenant_id == AROUND.tenant_id().to_string()
        && claims.of.as_ref() == Some(&expected.of)
        && claims.caller == expected.caller
        && claims.audience == asked.wish.resource
}

/// The token is that of the identity which the request selects on the machine that asks, in a world that was in effect
/// while the request was on its way. Nobody who had lost it before he asked gets it.
pub(crate) fn identity_is_right(
    claims: &Claims,
    asked: &Asked,
    past: &Past,
) -> Result<(), Violation> {
    let wish = &asked.wish;
    let fits = |world: &World| {
        let expected = world.expected(wish.address, wish.selector.as_ref());
        expected.is_ok_and(|expected| is_of(claims, &expected, asked))
    };
    if past.since(asked.step).any(fits) {
        return Ok(());
    }
    let detail = || format!("{wish:?} got {claims:?}");
    ensure(!past.before(asked.step).any(fits), "no token after an acknowledged removal", detail)?;
    ensure(false, "no wrong identity in a token", detail)
}

/// The token is valid when it is given: neither before `nbf` nor from `exp` on.
pub(crate) fn token_is_in_time(
    claims: &Claims,
    answer: &Answer,
    clock: &VirtualClock,
) -> Result<(), Violation> {
    let (at, wall) = (answer.at.0, clock.wall());
    let life = answer.token().expires_in(answer.at).0;
    let is_in_time = |now| claims.not_before <= now && now < claims.expires;
    ensure(
        is_in_time(at) && is_in_time(wall) && at + life <= claims.expires,
        "no token outside of its time",
        || format!("{claims:?} was given at {at}, answered at {wall} with {life} s left"),
    )
}

/// A verifier that reads the key set while the request is on its way can verify the token.
pub(crate) fn token_can_be_verified(
    claims: &Claims,
    asked: &Asked,
    keys: &Published,
) -> Result<(), Violation> {
    ensure(keys.was_published_since(&claims.kid, asked.step), "tokens can be verified", || {
        "the key of the token was not published while its request was on its way".to_owned()
    })
}

/// A refusal is right in a world that was in effect while the request was on its way, or follows from a fault.
pub(crate) fn refusal_is_right(
    error: &TokenError,
    asked: &Asked,
    past: &Past,
    faults: &Faults,
    settings: &Settings,
) -> Result<(), Violation> {
    let wish = &asked.wish;
    let expects = |refusal| {
        let selector = wish.selector.as_ref();
        past.since(asked.step).any(|world| world.expected(wish.address, selector) == Err(refusal))
    };
    let is_right = match error {
        TokenError::UnknownCaller => expects(Refusal::UnknownCaller),
        TokenError::Select(SelectError::NotFound) => expects(Refusal::NotFound),
        TokenError::Select(SelectError::Ambiguous) => expects(Refusal::Ambiguous),
        TokenError::UnknownResource { resource, .. } => !RESOURCES[..KNOWN].contains(&&**resource),
        TokenError::Mint(_) => faults.failed >= asked.step,
        TokenError::Abandoned => faults.panicked >= asked.step,
        TokenError::Busy => settings.mint_queue < 64 || past.disturbances_since(asked.step) >= 3,
        TokenError::Throttled(_) => settings.throttle.limits().is_some(),
    };
    ensure(is_right, "no refusal without a reason", || format!("{wish:?} got: {error}"))
}

/// Steps of the last faults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The last call of the source that failed.
    pub(crate) failed: StepNumber,
    /// The last call that panicked.
    pub(crate) panicked: StepNumber,
    /// True once a key was revoked.
    pub(crate) has_revoked: bool,
}

/// Returns the longest time until a request is answered, in seconds. All mints that may come first count, for each
/// attempt that a change of the world, the keys or the clock caused.
fn bound(asked: &Asked, past: &Past, faults: &Faults, settings: &Settings) -> u64 {
    let disturbances = past.disturbances_since(asked.step) as u64;
    let rounds = |ahead: u64| ahead / settings.lanes as u64 + 2;
    let queue = settings.mint_queue as u64;
    // A mint during which a key is revoked is made twice.
    let calls = 1 + u64::from(faults.has_revoked);
    let first = rounds(asked.queued.unwrap_or(0)) * calls;
    let others = disturbances.min(3) * rounds(queue.min(64)) * calls;
    (first + others) * CALL_MAX
}

/// Nobody waits longer than the bound.
pub(crate) fn answer_is_in_time(
    asked: &Asked,
    second: u64,
    past: &Past,
    faults: &Faults,
    settings: &Settings,
) -> Result<(), Violation> {
    let (waited, bound) = (second - asked.second, bound(asked, past, faults, settings));
    ensure(waited <= bound, "no answer later than its bound", || {
        format!("{:?} waits for {waited} s, bound {bound} s", asked.wish)
    })
}

/// The process shows what was acknowledged, and the disk holds it.
pub(crate) fn changes_are_kept(
    acknowledged: &World,
    node: &Node,
    disk: &World,
) -> Result<(), Violation> {
    let shown = World::shown(&node.directory.read(), acknowledged);
    let of = |what: &str, other: &World| {
        format!("{what} {other:?}, but acknowledged was {acknowledged:?}")
    };
    ensure(shown == *acknowledged, "no acknowledged change lost", || of("shown is", &shown))?;
    ensure(disk == acknowledged, "no acknowledged change lost", || of("stored is", disk))
}

/// The key was published long enough before it signed.
pub(crate) fn key_was_published(
    kid: &str,
    keys: &Published,
    settings: &Settings,
) -> Result<(), Violation> {
    ensure(keys.may_sign(kid), "a key is published before it signs", || {
        format!(
            "a token was signed with a key that was not published for {} s",
            settings.min_distance
        )
    })
}

/// A published key stays published for as long as a token that it signed lives, unless it is revoked.
pub(crate) fn key_stays_published(gone: Option<&str>) -> Result<(), Violation> {
    ensure(gone.is_none(), "a key stays published while its tokens live", || {
        "a key is gone, and a token that it signed still lives".to_owned()
    })
}

/// Nobody mints what the cache holds, and nobody mints a key twice at once. `fault` says what is wrong.
pub(crate) fn mint_is_needed(fault: Option<String>) -> Result<(), Violation> {
    ensure(fault.is_none(), "no stampede", || fault.unwrap_or_default())
}

/// A machine is refused if and only if it has reached its own limits. `fault` says what is wrong.
pub(crate) fn limits_are_kept(fault: Option<String>) -> Result<(), Violation> {
    ensure(fault.is_none(), "limits are kept", || fault.unwrap_or_default())
}
