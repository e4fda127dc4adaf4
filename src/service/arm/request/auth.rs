//! Authentication and authorization of callers.

use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::base::clock::UnixSeconds;
use crate::base::ids::{ArmId, ClientId, PrincipalId, SubscriptionId, TenantId};
use crate::service::arm::date;
use crate::service::arm::error::{ArmError, Challenge};
use crate::service::directory::State;
use crate::service::token::{Bearer, BearerError, Issuer, Verifier};
use crate::service::world::roles::{Action, Scope, permits};

/// The exact audiences that Resource Manager accepts, and its application id.
const AUDIENCES: [&str; 5] = [
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    "https://management.azure.com/",
    "https://management.azure.com",
    "797f4846-ba00-4fd7-ba43-dac1f8f63013",
];

/// The audiences that clients are told to request. az uses the first.
pub(crate) const AUDIENCES_OF_CLIENTS: [&str; 2] =
    ["https://management.core.windows.net/", AUDIENCE];

/// The audience of Resource Manager.
pub(crate) const AUDIENCE: &str = "https://management.azure.com/";

/// The caller of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Any caller, without authentication. May do everything.
    Anyone,
    /// The service principal in the caller's token.
    Principal { client_id: ClientId, principal_id: PrincipalId, tenant_id: TenantId },
}

impl Actor {
    /// Reads and checks the token of a request about `subscription`.
    pub(crate) fn of(
        headers: &HeaderMap,
        verifier: &Verifier,
        state: &State,
        subscription: Option<SubscriptionId>,
        now: UnixSeconds,
    ) -> Result<Self, ArmError> {
        let subscription = subscription.and_then(|id| state.subscription(id));
        let expected = subscription.map(|subscription| subscription.tenant);
        let home = || state.tenants().next().map(|tenant| tenant.id);
        let tenant = expected.or_else(home).map_or("common".to_owned(), |id| id.to_string());
        let refuse = |refusal: Refusal| refusal.into_error(tenant);
        let read = bearer(headers, verifier, now).and_then(|bearer| {
            trusted(&bearer, expected, |tenant| state.tenant(tenant).is_some())?;
            if state.knows(&bearer) { Ok(bearer) } else { Err(gone(&bearer)) }
        });
        let bearer = read.map_err(refuse)?;
        Ok(Self::Principal {
            client_id: bearer.client_id,
            principal_id: bearer.principal_id,
            tenant_id: bearer.tenant_id,
        })
    }

    /// Returns the tenant of the caller.
    pub(crate) const fn tenant_id(&self) -> Option<TenantId> {
        match self {
            Self::Anyone => None,
            Self::Principal { tenant_id, .. } => Some(*tenant_id),
        }
    }

    /// Returns the caller's service principal.
    pub(crate) const fn principal_id(&self) -> Option<PrincipalId> {
        match self {
            Self::Anyone => None,
            Self::Principal { principal_id, .. } => Some(*principal_id),
        }
    }

    /// Returns application id and object id of the caller, for errors.
    pub(crate) fn names(&self) -> (String, String) {
        match self {
            Self::Anyone => Default::default(),
            Self::Principal { client_id, principal_id, .. } => {
                (client_id.to_string(), principal_id.to_string())
            }
        }
    }

    /// Returns true if the caller may do `action` at `scope`.
    pub(crate) fn may(&self, state: &State, action: &str, scope: &str, now: UnixSeconds) -> bool {
        let Self::Principal { principal_id, .. } = self else { return true };
        let Ok(scope) = scope.parse::<Scope>() else { return false };
        state.permits(*principal_id, Action::ControlPlane(action), &scope, now).is_some()
    }

    /// Checks that the caller may do `action` at `scope`.
    pub(crate) fn require(
        &self,
        state: &State,
        action: &str,
        scope: &str,
        now: UnixSeconds,
    ) -> Result<(), ArmError> {
        if self.may(state, action, scope, now) {
            return Ok(());
        }
        let (client, object) = self.names();
        let (action, scope) = (action.to_owned(), scope.to_owned());
        Err(ArmError::AuthorizationFailed { client, object, action, scope })
    }

    /// Returns true if the caller may do `action` somewhere below `scope`. Call this only when it may not at
    /// `scope`. Roles at `scope` and above also hold below, so only roles below are checked.
    pub(crate) fn may_below(&self, state: &State, action: &str, scope: &str) -> bool {
        let Self::Principal { principal_id, .. } = self else { return true };
        let Ok(scope) = scope.parse::<Scope>() else { return false };
        let mut held = state.roles_of(*principal_id);
        held.any(|own| {
            scope.contains(&own.scope, state)
                && permits([own], Action::ControlPlane(action), &own.scope, state).is_some()
        })
    }

    /// Returns true if the caller holds any role in the subscription. Such a caller may see the subscription.
    pub(crate) fn has_role_in(&self, state: &State, subscription: &ArmId) -> bool {
        let Self::Principal { principal_id, .. } = self else { return true };
        let id = subscription.subscription();
        state.roles_of(*principal_id).any(|assignment| assignment.scope.subscription() == Some(id))
    }
}

/// A refused token: code, message, and the description in the challenge.
struct Refusal {
    code: &'static str,
    message: String,
    description: Option<&'static str>,
}

impl Refusal {
    const fn new(code: &'static str, message: String) -> Self {
        Self { code, message, description: None }
    }

    fn into_error(self, tenant: String) -> ArmError {
        let Self { code, message, description } = self;
        let description = description.map_or_else(|| message.clone(), str::to_owned);
        let challenge = Challenge { tenant, description };
        ArmError::Unauthenticated { code, message, challenge }
    }
}

fn bearer(headers: &HeaderMap, verifier: &Verifier, now: UnixSeconds) -> Result<Bearer, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let missing = || Refusal {
        code: "AuthenticationFailed",
        message: "Authentication failed. The 'Authorization' header is missing.".to_owned(),
        description: Some("The authentication failed because of missing 'Authorization' header."),
    };
    let value = values.next().ok_or_else(missing)?;
    let malformed = || Refusal {
        code: "AuthenticationFailedInvalidHeader",
        message:
            "Authentication failed. The 'Authorization' header is provided in an invalid format."
                .to_owned(),
        description: None,
    };
    let is_sole = values.next().is_none();
    let value = value.to_str().ok().filter(|_| is_sole).ok_or_else(malformed)?;
    let (scheme, jwt) = value.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(malformed());
    }
    verifier.verify(jwt.trim(), now).map_err(|error| untrue(&error, now))
}

/// Returns the refusal of a token whose principal was deleted after it was issued. Azure accepts such a token
/// until it expires.
fn gone(bearer: &Bearer) -> Refusal {
    Refusal::new(
        "InvalidAuthenticationToken",
        format!(
            "The access token is invalid: its service principal '{}' does not exist in the tenant '{}' any more.",
            bearer.principal_id, bearer.tenant_id
        ),
    )
}

fn untrue(error: &BearerError, now: UnixSeconds) -> Refusal {
    let now = date::american(now);
    let invalid = |message: &str| Refusal::new("InvalidAuthenticationToken", message.to_owned());
    match error {
        BearerError::Malformed => invalid("The access token is invalid."),
        BearerError::UnknownKey | BearerError::Signature => invalid(
            "The access token validation failed: it is not signed with a key of this issuer.",
        ),
        BearerError::Expired(at) => Refusal::new(
            "ExpiredAuthenticationToken",
            format!(
                "The access token expiry UTC time '{}' is earlier than current UTC time '{now}'.",
                date::american(*at)
            ),
        ),
        BearerError::NotYetValid(at) => invalid(&format!(
            "The access token not-before UTC time '{}' is later than current UTC time '{now}'.",
            date::american(*at)
        )),
    }
}

/// Checks that the token is for Resource Manager and from the right tenant: the tenant of the subscription,
/// or any known tenant if the request names no subscription.
fn trusted(
    bearer: &Bearer,
    expected: Option<TenantId>,
    is_known: impl Fn(TenantId) -> bool,
) -> Result<(), Refusal> {
    if !AUDIENCES.contains(&bearer.audience.as_str()) {
        let [allowed @ .., _] = AUDIENCES.map(|audience| format!("'{audience}'"));
        return Err(Refusal::new(
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{}'. It should exactly match with one of the allowed audiences {}.",
                bearer.audience,
                allowed.join(",")
            ),
        ));
    }
    let tenant = expected.unwrap_or(bearer.tenant_id);
    let is_own = bearer.tenant_id == tenant && bearer.issuer == Issuer::url(tenant);
    if is_own && is_known(tenant) {
        return Ok(());
    }
    Err(Refusal::new(
        "InvalidAuthenticationTokenTenant",
        format!(
            "The access token is from the wrong issuer '{}'. It must match the tenant '{}' associated with this subscription. Please use the authority (URL) 'https://login.windows.net/{tenant}' to get the token. Note, if the subscription is transferred to another tenant there is no impact to the services, but information about new tenant could take time to propagate (up to an hour). If you just transferred your subscription and see this error message, please try back later.",
            bearer.issuer,
            Issuer::url(tenant)
        ),
    ))
}
