//! Authentication of clients: a service principal of a tenant sends a secret, or an assertion signed with a
//! certificate.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::http::request::Parts;

use super::error::{KeyReason, StsError, moment};
use super::federation::of_other_issuer;
use super::form::{Form, decoded};
use super::route::{PUBLIC_BASE_URL, Realm, Version};
use super::{Body, Sts};
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::http::Encoded;
use crate::base::ids::{ClientId, TenantId};
use crate::base::secret::Redacted;
use crate::base::x509::Certificate;
use crate::service::directory::{Principal, State};
use crate::service::faults::Asked;
use crate::service::token::{AssertionClaims, ClientProof, PresentedAssertion};

/// Greatest tolerated difference between the clocks of client and server.
pub(super) const LEEWAY: Seconds = Seconds(300);

/// Value of `client_assertion_type` (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Credential that a client sent.
pub(super) struct Shown<'a> {
    /// Client id in the client's spelling.
    client_id: String,
    credential: Credential<'a>,
}

enum Credential<'a> {
    Assertion(&'a str),
    Secret(Redacted),
}

/// An authenticated client.
pub(super) struct Client {
    pub(super) principal: Principal,
    pub(super) proof: ClientProof,
}

impl<'a> Shown<'a> {
    /// Reads the client's id and its one credential from the form or the `Authorization` header (RFC 6749
    /// section 2.3.1). Two credentials are refused, as the RFC requires.
    pub(super) fn of(form: &'a Form<'_>, headers: &HeaderMap) -> Result<Self, StsError> {
        let basic = basic(headers)?;
        let client_id = match (&basic, form.get("client_id")) {
            (Some((id, _)), Some(other)) if id != other => return Err(StsError::Malformed),
            (Some((id, _)), _) => id.clone(),
            (None, Some(id)) => id.to_owned(),
            (None, None) => return Err(StsError::Missing("client_id")),
        };
        let posted = form.get("client_secret").map(|secret| secret.as_bytes().to_vec());
        let secrets = basic.map(|(_, secret)| secret).into_iter().chain(posted.map(Redacted::new));
        let secrets = secrets.map(Credential::Secret);
        let mut all = secrets.chain(assertion(form)?.map(Credential::Assertion));
        match (all.next(), all.next()) {
            (Some(credential), None) => Ok(Self { client_id, credential }),
            (None, _) => Err(StsError::CredentialMissing),
            (Some(_), Some(_)) => Err(StsError::Malformed),
        }
    }
}

/// Returns the id that a client sent, without its credential.
fn client_id(form: &Form<'_>, headers: &HeaderMap) -> Option<String> {
    let basic = basic(headers).ok().flatten().map(|(id, _)| id);
    basic.or_else(|| form.get("client_id").map(str::to_owned))
}

fn assertion<'a>(form: &'a Form<'_>) -> Result<Option<&'a str>, StsError> {
    let Some(assertion) = form.get("client_assertion") else { return Ok(None) };
    match form.require("client_assertion_type")? {
        ASSERTION_TYPE => Ok(Some(assertion)),
        _ => Err(StsError::Malformed),
    }
}

/// Returns the id and secret of `Authorization: Basic`, if the header exists. Both are form-encoded in it.
fn basic(headers: &HeaderMap) -> Result<Option<(String, Redacted)>, StsError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().ok().and_then(|value| value.split_once(' '));
    let encoded = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let (_, encoded) = encoded.ok_or(StsError::Malformed)?;
    let pair = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| StsError::Malformed)?;
    let pair = Redacted::new(pair);
    let pair = std::str::from_utf8(pair.expose()).map_err(|_| StsError::Malformed)?;
    let (id, secret) = pair.split_once(':').ok_or(StsError::Malformed)?;
    let secret = Redacted::new(decoded(Encoded::new(secret))?.into_owned().into_bytes());
    Ok(Some((decoded(Encoded::new(id))?.into_owned(), secret)))
}

impl Sts {
    /// Returns what a request asks for.
    pub(super) fn asked(&self, parts: &Parts, body: &Body) -> Asked {
        let Body::Read(bytes) = body else { return Asked::default() };
        let Ok(form) = Form::parse(bytes) else { return Asked::default() };
        let client_id = client_id(&form, &parts.headers).unwrap_or_default();
        let resource = form.get("resource").or(form.get("scope")).map(str::to_owned);
        let wants_token = resource.is_some();
        let asked = Asked::of_client(&self.directory.read(), &client_id, resource);
        Asked { wants_token, ..asked }
    }

    /// Authenticates the client of `tenant` that sent this credential.
    pub(super) fn authenticate(
        &self,
        shown: &Shown<'_>,
        tenant: TenantId,
        parts: &Parts,
        now: UnixSeconds,
    ) -> Result<Client, StsError> {
        let state = self.directory.read();
        let (client_id, principal) = client(&state, &shown.client_id, tenant)?;
        let proof = match &shown.credential {
            Credential::Secret(secret) => {
                check_secret(principal, secret)?;
                ClientProof::Secret
            }
            Credential::Assertion(jwt) => {
                let client = (client_id, principal);
                match of_other_issuer(jwt) {
                    Some(token) => self.check_federated(&state, principal, &token, now),
                    None => self.check_own(&state, client, tenant, jwt, (parts, now)),
                }?;
                ClientProof::Certificate
            }
        };
        Ok(Client { principal: principal.clone(), proof })
    }

    /// Checks an assertion that the client signed itself.
    fn check_own(
        &self,
        state: &State,
        (client_id, principal): (ClientId, &Principal),
        tenant: TenantId,
        jwt: &str,
        (parts, now): (&Parts, UnixSeconds),
    ) -> Result<(), StsError> {
        let assertion = PresentedAssertion::parse(jwt).map_err(|_| StsError::AssertionMalformed)?;
        let held = held(state, principal);
        let claims = self.signed(&assertion, principal, &held, now)?;
        self.check_claims(claims, client_id, tenant, parts, now)
    }

    /// Returns the claims of an assertion if a registered certificate of the client signed it. A certificate
    /// that a trusted authority issued counts too (Entra's subject name and issuer authentication).
    fn signed<'a>(
        &self,
        assertion: &'a PresentedAssertion<'_>,
        principal: &Principal,
        held: &[Certificate],
        now: UnixSeconds,
    ) -> Result<&'a AssertionClaims, StsError> {
        let client_id = principal.ids().client_id;
        let claims = assertion.unverified();
        if !assertion.says_certificate() && claims.issuer.parse() != Ok(client_id) {
            // The token is of another issuer, and no federated credential has one whose name is no URL.
            return Err(StsError::FederationUnmatched(claims.subject.clone()));
        }
        // An authority vouches only for the managed identities of its own broker.
        let vouched = match principal {
            Principal::ManagedIdentity(_) => self.vouched(assertion, client_id, now),
            Principal::Application(_) => None,
        };
        let named = held.iter().find(|own| assertion.names(own)).or(vouched.as_ref());
        let refused = |reason| key_refused(assertion, reason, named, client_id);
        let certificate = named.ok_or_else(|| refused(KeyReason::NotFound))?;
        // The signature is checked first: a caller that cannot sign learns nothing about the certificate.
        let forged = |_| key_refused(assertion, KeyReason::Signature, None, client_id);
        let claims = assertion.verify(certificate).map_err(forged)?;
        if certificate.not_after() < now {
            return Err(refused(KeyReason::Expired));
        }
        if now + LEEWAY < certificate.not_before() {
            return Err(refused(KeyReason::NotYetValid));
        }
        Ok(claims)
    }

    /// Returns the certificate in an assertion, if a trusted authority issued it for this client.
    fn vouched(
        &self,
        assertion: &PresentedAssertion<'_>,
        client_id: ClientId,
        now: UnixSeconds,
    ) -> Option<Certificate> {
        let leaf = Certificate::from_der(assertion.chain().first()?).ok()?;
        let subject = leaf.common_name()?.parse() == Ok(client_id);
        let thumbprint = assertion.thumbprint().is_none() || assertion.names(&leaf);
        let mut trusted = self.trusted.iter().filter(|authority| authority.is_valid(now));
        let fits = subject && thumbprint && leaf.is_for_clients();
        (fits && trusted.any(|authority| leaf.is_signed_by(authority))).then_some(leaf)
    }

    /// Checks `iss`, `sub`, `aud`, `nbf` and `exp`. A `jti` may repeat: Entra documents no check, MSAL for
    /// Python reuses an assertion until it expires, and a library that retries sends the same one.
    fn check_claims(
        &self,
        claims: &AssertionClaims,
        client_id: ClientId,
        tenant: TenantId,
        parts: &Parts,
        now: UnixSeconds,
    ) -> Result<(), StsError> {
        let own = |id: &str| id.parse() == Ok(client_id);
        if !own(&claims.issuer) || !own(&claims.subject) {
            return Err(StsError::AssertionClient);
        }
        let audiences = self.audiences(tenant, parts);
        let mut meant = claims.audiences().iter();
        if !meant.any(|audience| is_among(&audiences, audience)) {
            return Err(StsError::AssertionAudience);
        }
        self.require_in_time(claims, now)
    }

    /// Checks `nbf`, `exp` and the longest remaining lifetime.
    pub(super) fn require_in_time(
        &self,
        claims: &AssertionClaims,
        now: UnixSeconds,
    ) -> Result<(), StsError> {
        if !claims.is_in_time(now, LEEWAY) {
            let from = claims.not_before().unwrap_or(UnixSeconds(0));
            let [now, from, until] = [now, from, claims.expires()].map(moment);
            return Err(StsError::AssertionTime { now, from, until });
        }
        match self.max_assertion_lifetime {
            Some(longest) if now + longest + LEEWAY < claims.expires() => {
                let [now, until] = [now, claims.expires()].map(moment);
                Err(StsError::AssertionLife { now, until, longest: longest.0 })
            }
            _ => Ok(()),
        }
    }

    /// Returns the audiences that an assertion may name: the token endpoints and issuers of this service.
    /// Their host is the one that the client called, or the public cloud's. Libraries write the latter when
    /// only their connections are redirected here. Both schemes are accepted, because a proxy may terminate
    /// TLS.
    fn audiences(&self, tenant: TenantId, parts: &Parts) -> Vec<String> {
        let host = self.called(parts);
        let bases = [&format!("http://{host}"), &format!("https://{host}"), PUBLIC_BASE_URL];
        let at = |base: &str| {
            ["oauth2/token", "oauth2/v2.0/token", "v2.0", ""]
                .map(|path| format!("{base}/{tenant}/{path}"))
        };
        let mut audiences: Vec<_> = bases.into_iter().flat_map(at).collect();
        audiences.extend(
            [Version::V1, Version::V2].map(|version| Realm::Tenant(tenant).issuer(version)),
        );
        audiences
    }
}

fn is_among(audiences: &[String], audience: &str) -> bool {
    // Entra accepts an audience with or without one slash at the end.
    let bare = |text: &str| text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let audience = bare(audience);
    audiences.iter().any(|own| bare(own) == audience)
}

/// Returns the service principal of `client_id` in `tenant`.
pub(super) fn client<'a>(
    state: &'a State,
    client_id: &str,
    tenant: TenantId,
) -> Result<(ClientId, &'a Principal), StsError> {
    let (client, tenant_name) = (client_id.to_owned(), tenant.to_string());
    let id: Option<ClientId> = client_id.parse().ok();
    match id.and_then(|id| Some((id, state.client(id)?))) {
        Some((id, principal)) if principal.tenant_id() == tenant => Ok((id, principal)),
        // As in Entra, the error reveals applications of other tenants, but no managed identities.
        Some((_, Principal::Application(_))) => {
            Err(StsError::ClientForeign { client, tenant: tenant_name })
        }
        Some(_) | None => Err(StsError::ClientUnknown { client, tenant: tenant_name }),
    }
}

/// Checks a client secret; only applications have secrets. All digests are compared, so that the time taken
/// does not reveal which one matches.
fn check_secret(principal: &Principal, secret: &Redacted) -> Result<(), StsError> {
    let digests = match principal {
        Principal::Application(application) => application.secret_digests.as_slice(),
        Principal::ManagedIdentity(_) => &[],
    };
    let fits = digests.iter().fold(false, |fits, digest| fits | secret.has_digest(digest));
    let wrong = || StsError::SecretWrong(principal.ids().client_id.to_string());
    if fits { Ok(()) } else { Err(wrong()) }
}

/// Returns the certificates that are registered for a principal, the oldest first.
fn held(state: &State, principal: &Principal) -> Vec<Certificate> {
    let credentials = state.credentials(principal.ids().principal_id).iter();
    let der = credentials.filter_map(|own| BASE64_STANDARD.decode(&own.certificate).ok());
    der.filter_map(|der| Certificate::from_der(&der).ok()).collect()
}

fn key_refused(
    assertion: &PresentedAssertion<'_>,
    reason: KeyReason,
    found: Option<&Certificate>,
    client_id: ClientId,
) -> StsError {
    let found = found.map_or_else(String::new, |found| {
        let [start, end] = [found.not_before(), found.not_after()].map(moment);
        format!(", Found key 'Start={start}, End={end}'")
    });
    let thumbprint = hex(assertion.thumbprint().unwrap_or_default());
    StsError::Key { reason, thumbprint, found, client: client_id.to_string() }
}

/// Formats a thumbprint as Entra does, in upper-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}
