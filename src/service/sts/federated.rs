//! Workload identity federation: tokens of other issuers as proof of user-assigned identities.
//!
//! A token counts if a federated credential of the identity names its issuer, its subject and its audience, and a
//! key of the issuer signed it. The keys of an issuer are fetched only if such a credential fits, so nobody else
//! can make this server call an address.

use std::sync::Arc;

use hyper::http::request::Parts;

use super::client::{LEEWAY, client};
use super::error::{StsError, moment};
use super::federation::{Needed, of_other_issuer};
use super::form::Form;
use super::route::{Realm, Route, Version};
use super::{Body, Sts};
use crate::base::clock::UnixSeconds;
use crate::base::ids::{PrincipalId, TenantId};
use crate::service::directory::{Principal, State};
use crate::service::token::{AssertionClaims, ForeignError, ForeignKeys, ForeignToken, Issuer};
use crate::service::world::federation::{Mismatch, matching};

impl Sts {
    /// Fetches the keys that the answer to a request needs.
    pub(super) async fn prepare(&self, parts: &Parts, body: &Body) {
        if let Some(needed) = self.needed(parts, body) {
            self.federation.provide(needed, &self.clock).await;
        }
    }

    /// Returns the keys that a request needs, if a federated credential of its client fits its token.
    fn needed(&self, parts: &Parts, body: &Body) -> Option<Needed> {
        let (realm, Route::Token(_)) = Route::of(parts.uri.path())? else { return None };
        let Body::Read(bytes) = body else { return None };
        let form = Form::parse(bytes).ok()?;
        let token = of_other_issuer(form.get("client_assertion")?)?;
        let Realm::Tenant(tenant) = self.realm(realm)? else { return None };
        let state = self.directory.read();
        let (_, principal) = client(&state, form.get("client_id")?, tenant).ok()?;
        let claims = token.unverified();
        trusted(&state, principal, claims).ok()?;
        if own_tenant(&state, &claims.issuer).is_some() {
            return None;
        }
        Some(Needed { issuer: claims.issuer.clone(), kid: token.kid().map(str::to_owned) })
    }

    /// Checks that a token of another issuer proves `principal`.
    pub(super) fn check_federated(
        &self,
        state: &State,
        principal: &Principal,
        token: &ForeignToken<'_>,
        now: UnixSeconds,
    ) -> Result<(), StsError> {
        let claims = token.unverified();
        trusted(state, principal, claims)?;
        let issuer = claims.issuer.as_str();
        let keys = if own_tenant(state, issuer).is_some() {
            require_existing(state, &claims.subject)?;
            Arc::new(ForeignKeys::of(&self.managed.keys()))
        } else {
            let keys = self.federation.keys(issuer, now);
            keys.ok_or_else(|| StsError::IssuerUnavailable(issuer.to_owned()))?
        };
        token.verify(&keys).map_err(|error| refused(error, token, principal))?;
        require_issued(claims, now)?;
        self.require_in_time(claims, now)
    }
}

/// Refuses a token that is issued (`iat`) in the future.
fn require_issued(claims: &AssertionClaims, now: UnixSeconds) -> Result<(), StsError> {
    match claims.issued_at() {
        Some(issued) if now + LEEWAY < issued => {
            let [now, from, until] = [now, issued, claims.expires()].map(moment);
            Err(StsError::AssertionTime { now, from, until })
        }
        _ => Ok(()),
    }
}

/// Checks that a federated credential of `principal` names issuer, subject and audience of a token.
fn trusted(state: &State, principal: &Principal, claims: &AssertionClaims) -> Result<(), StsError> {
    // Tokens of this server have the issuer of version 1, while credentials usually name that of version 2.
    let alias = own_tenant(state, &claims.issuer).map(|id| Realm::Tenant(id).issuer(Version::V2));
    let mut issuers = vec![claims.issuer.as_str()];
    issuers.extend(alias.as_deref());
    let held = state.federated_credentials(principal);
    let fits = matching(held, &issuers, &claims.subject, claims.audiences());
    fits.map_err(|mismatch| match mismatch {
        Mismatch::Audience => StsError::FederationAudience(claims.audiences().join(", ")),
        Mismatch::Issuer => StsError::FederationIssuer(claims.issuer.clone()),
        Mismatch::NoCredentials | Mismatch::Subject => {
            StsError::FederationUnmatched(claims.subject.clone())
        }
        Mismatch::SubjectCase => StsError::FederationSubjectCase(claims.subject.clone()),
    })
}

/// Returns the tenant of this directory that issues tokens under this name.
fn own_tenant(state: &State, issuer: &str) -> Option<TenantId> {
    state.tenants().map(|tenant| tenant.id).find(|id| Issuer::url(*id) == issuer)
}

/// Refuses a token of this server whose principal is gone, as the control plane and the vaults do.
fn require_existing(state: &State, subject: &str) -> Result<(), StsError> {
    let id: Option<PrincipalId> = subject.parse().ok();
    let known = id.and_then(|id| state.principal(id));
    known.map(drop).ok_or_else(|| StsError::FederationUnmatched(subject.to_owned()))
}

fn refused(error: ForeignError, token: &ForeignToken<'_>, principal: &Principal) -> StsError {
    const SHOWN_CHARS: usize = 128;
    let kid = token.kid().unwrap_or_default().chars().take(SHOWN_CHARS).collect();
    let issuer = token.unverified().issuer.clone();
    match error {
        ForeignError::Malformed => StsError::AssertionMalformed,
        ForeignError::Signature => {
            StsError::FederationSignature { kid, client: principal.ids().client_id.to_string() }
        }
        ForeignError::UnknownKey => StsError::FederationKey { kid, issuer },
    }
}
