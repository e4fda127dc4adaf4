//! Verification of the sampled answers: signature, audience, identity, issuer, body and expiry.
//!
//! The verification runs after the load. The keys come from the issuer's published set. The
//! identities of a VM come from the rules of the synthetic world, never from the measured broker.

mod claims;
pub mod key_timeline;
pub mod keys;

use std::fmt;

use self::claims::{Body, Claims, signed_claims};
use self::keys::Keys;
use super::ledger::Ledger;
use crate::base::synthetic::{IdentityIds, Synthetic};
use crate::harness::record::sample::Sampled;
use crate::harness::scenario::key::{RequestKey, Selector, Slot};
use crate::harness::schedule::timeline::Epoch;

/// Counts of faulty answers in the sample, by fault. An answer can have several faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Answers that were verified.
    pub sampled: u64,
    /// No token, an unknown key, or a signature that does not match.
    pub bad_signature: u64,
    /// A token of an identity that the VM did not ask for, or whose `sub` is not its `oid`; none
    /// for a foreign target.
    pub wrong_identity: Option<u64>,
    /// A token for another resource, or a body that names another; none if the expected one is
    /// unknown.
    pub wrong_audience: Option<u64>,
    /// A token of another tenant or issuer; none for a foreign target.
    pub wrong_issuer: Option<u64>,
    /// A body whose `expires_on` or `expires_in` is not the token's.
    pub wrong_expiry: u64,
    /// A token that had expired when it arrived.
    pub expired: u64,
}

impl Verdict {
    /// Returns the number of faults found.
    pub fn faults(&self) -> u64 {
        let known = self.wrong_identity.unwrap_or(0) + self.wrong_issuer.unwrap_or(0);
        let known = known + self.wrong_audience.unwrap_or(0);
        self.bad_signature + known + self.wrong_expiry + self.expired
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sampled answers, {} had a bad signature, {} a wrong identity, {} a wrong audience, {} a wrong issuer, {} a wrong expiry in the body, {} had expired",
            self.sampled,
            self.bad_signature,
            self.wrong_identity.unwrap_or(0),
            self.wrong_audience.unwrap_or(0),
            self.wrong_issuer.unwrap_or(0),
            self.wrong_expiry,
            self.expired
        )
    }
}

/// The known identities of the answers.
#[derive(Clone, Copy, Debug)]
pub enum Identities<'a> {
    /// Identities that follow from the world.
    Fixed(&'a Synthetic),
    /// Identities that follow from the world and from the changes made in it.
    Changing(&'a Synthetic, &'a Ledger),
    /// Unknown identities of a foreign target. Only the audience of its tokens may be known.
    Unknown(Audience<'a>),
}

/// The expected audience of tokens.
#[derive(Clone, Copy, Debug)]
pub enum Audience<'a> {
    /// The requested resource.
    Requested,
    /// Always this audience.
    Fixed(&'a str),
    /// Unknown, and not checked.
    Unknown,
}

impl<'a> Audience<'a> {
    fn of(self, key: &RequestKey) -> Option<&'a str> {
        match self {
            Self::Requested => Some(key.resource()),
            Self::Fixed(audience) => Some(audience),
            Self::Unknown => None,
        }
    }
}

impl Identities<'_> {
    const fn world(&self) -> Option<&Synthetic> {
        match self {
            Self::Fixed(world) | Self::Changing(world, _) => Some(world),
            Self::Unknown(_) => None,
        }
    }

    const fn audience(&self) -> Audience<'_> {
        match self {
            Self::Fixed(_) | Self::Changing(..) => Audience::Requested,
            Self::Unknown(audience) => *audience,
        }
    }

    /// Returns true if a token belongs to the requested identity at the time of the request.
    fn is_right(&self, world: &Synthetic, sample: &Sampled, body: &Body, claims: &Claims) -> bool {
        let first = expected(world, &sample.key);
        let Self::Changing(_, ledger) = self else { return belongs(&first, body, claims) };
        let RequestKey { vm, selector, .. } = sample.key;
        let slot = Slot { vm, selector };
        let at = (sample.written, sample.end);
        match selector {
            // A user-assigned identity that is assigned again is the same as before.
            Selector::UserAssigned(_) => belongs(&first, body, claims),
            Selector::Default if belongs(&first, body, claims) => {
                ledger.may_have_been(slot, None, at)
            }
            // A new principal: the answer of the control plane holds its `oid`, but not its client
            // id.
            Selector::Default => {
                let oid = claims.oid.as_deref().and_then(|oid| oid.parse().ok());
                oid.is_some_and(|oid| ledger.may_have_been(slot, Some(oid), at))
                    && claims.sub == claims.oid
                    && claims.appid.is_some()
                    && claims.appid == body.client_id
                    && claims.appid != Some(first.client_id.to_string())
            }
        }
    }
}

/// Verifies every sampled answer as of the time when it arrived.
pub fn verify(
    samples: &[Sampled],
    keys: &Keys,
    identities: Identities<'_>,
    epoch: Epoch,
) -> Verdict {
    let unknown = identities.world().map(|_| 0);
    let wrong_audience = match identities.audience() {
        Audience::Requested | Audience::Fixed(_) => Some(0),
        Audience::Unknown => None,
    };
    let mut verdict = Verdict {
        wrong_identity: unknown,
        wrong_issuer: unknown,
        wrong_audience,
        ..Verdict::default()
    };
    for sample in samples {
        verdict.sampled += 1;
        let Some((body, claims)) = signed_claims(&sample.body, keys) else {
            verdict.bad_signature += 1;
            continue;
        };
        if let Some(audience) = identities.audience().of(&sample.key) {
            let echoed = body.resource.as_deref().is_none_or(|echo| echo == audience);
            let right = echoed && claims.aud.0.iter().any(|aud| aud == audience);
            verdict.wrong_audience = verdict.wrong_audience.map(|n| n + u64::from(!right));
        }
        verdict.wrong_expiry += u64::from(!expiry_agrees(sample, &body, &claims, epoch));
        verdict.expired += u64::from(claims.exp <= epoch.wall_at(sample.end).0);
        if let Some(world) = identities.world() {
            let count = |fault: &mut Option<u64>, right: bool| {
                *fault = fault.map(|count| count + u64::from(!right));
            };
            let identity = identities.is_right(world, sample, &body, &claims);
            count(&mut verdict.wrong_identity, identity);
            count(&mut verdict.wrong_issuer, is_issued_for(world, &claims));
        }
    }
    verdict
}

/// Tolerance for wall times, which are known to the second at both ends.
const EXPIRY_SLACK_SECONDS: u64 = 2;

/// Returns true if the expiry in the body agrees with that of the token. `expires_in` was true at
/// some moment between the request and the answer.
fn expiry_agrees(sample: &Sampled, body: &Body, claims: &Claims, epoch: Epoch) -> bool {
    let on = body.expires_on.as_ref().is_none_or(|on| on.seconds() == Some(claims.exp));
    let Some(left) = &body.expires_in else { return on };
    let at = |at_time| epoch.wall_at(at_time).0;
    let latest = (claims.exp + EXPIRY_SLACK_SECONDS).saturating_sub(at(sample.written));
    let earliest = claims.exp.saturating_sub(at(sample.end) + EXPIRY_SLACK_SECONDS);
    on && left.seconds().is_some_and(|left| (earliest..=latest).contains(&left))
}

fn expected(world: &Synthetic, key: &RequestKey) -> IdentityIds {
    match key.selector {
        Selector::Default => world.system_assigned(key.vm),
        Selector::UserAssigned(index) => world.user_assigned(key.vm, index),
    }
}

fn belongs(expected: &IdentityIds, body: &Body, claims: &Claims) -> bool {
    let client_id = expected.client_id.to_string();
    let client_id = Some(client_id.as_str());
    let principal_id = expected.principal_id.to_string();
    claims.appid.as_deref() == client_id
        && claims.oid.as_deref() == Some(principal_id.as_str())
        && claims.sub == claims.oid
        && body.client_id.as_deref() == client_id
}

fn is_issued_for(world: &Synthetic, claims: &Claims) -> bool {
    let tenant = world.tenant_id().to_string();
    let issuer = format!("https://sts.windows.net/{tenant}/");
    claims.tid.as_deref() == Some(tenant.as_str()) && claims.iss.as_deref() == Some(issuer.as_str())
}

#[cfg(test)]
mod tests;
