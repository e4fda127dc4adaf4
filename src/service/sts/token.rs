//! `POST /{tenant}/oauth2/token` and `/{tenant}/oauth2/v2.0/token`: the client credentials grant
//! (RFC 6749 section 4.4).

use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use rand::Rng as _;

use super::client::{Client, Shown};
use super::error::{StsError, TenantAt};
use super::form::Form;
use super::reply::Trace;
use super::route::{Realm, Version};
use super::{Body, Sts, resource};
use crate::base::clock::UnixSeconds;
use crate::base::http::Payload;
use crate::base::ids::TenantId;
use crate::service::directory::Principal;
use crate::service::token::{Entropy, Subject, Token, TokenSource as _};

impl Sts {
    pub(super) fn token(
        &self,
        tenant: &str,
        version: Version,
        parts: &Parts,
        body: &Body,
    ) -> Response<Payload> {
        let trace = Trace::of(&parts.headers, self.ids(), self.clock.now());
        let granted = self.granted(tenant, version, parts, body, trace.now);
        match granted {
            Ok((token, resource)) => trace.granted(&token, &resource, version),
            Err(error) => trace.refusal(&error, version),
        }
    }

    fn granted(
        &self,
        tenant: &str,
        version: Version,
        parts: &Parts,
        body: &Body,
        now: UnixSeconds,
    ) -> Result<(Token, String), StsError> {
        if parts.method != Method::POST {
            let received = parts.method.to_string();
            return Err(StsError::Method { allowed: "POST", received });
        }
        let tenant = self.tenant_of_clients(tenant)?;
        let form = match body {
            Body::Read(bytes) if is_form(parts) => Form::parse(bytes)?,
            // For a body that is not a form, Entra reports the first parameter as missing.
            Body::Read(_) => return Err(StsError::Missing("grant_type")),
            Body::TooLarge => return Err(StsError::TooLarge),
        };
        match form.require("grant_type")? {
            "client_credentials" => {}
            other => return Err(StsError::GrantUnsupported(other.to_owned())),
        }
        let shown = Shown::of(&form, &parts.headers)?;
        let resource = resource::asked(&form, version)?;
        let client = self.authenticate(&shown, tenant, parts, now)?;
        let Some(audience) = self.directory.audience_name(resource, tenant) else {
            let (resource, tenant) = (resource.to_owned(), tenant.to_string());
            return Err(StsError::ResourceUnknown { resource, tenant });
        };
        let token = self.minted(&client, tenant, &audience, now)?;
        Ok((token, audience))
    }

    /// Returns the tenant that a path names. In the other realms the user's account determines the tenant in
    /// Entra, and a client without a user has none.
    fn tenant_of_clients(&self, name: &str) -> Result<TenantId, StsError> {
        match self.realm(name) {
            Some(Realm::Tenant(id)) => Ok(id),
            Some(Realm::AnyTenant | Realm::Personal) => Err(StsError::TenantNone),
            None => Err(StsError::TenantUnknown { name: name.to_owned(), at: TenantAt::Token }),
        }
    }

    /// Signs the token on the thread of this surface. A signature takes less than a millisecond, so other
    /// requests hardly wait, and the identity endpoint has threads of its own. Clients that need many tokens
    /// should cache them.
    fn minted(
        &self,
        client: &Client,
        tenant: TenantId,
        audience: &str,
        now: UnixSeconds,
    ) -> Result<Token, StsError> {
        let created = self.directory.read().tenant(tenant).map(|tenant| tenant.created);
        let (issuer, resource_id) = match &client.principal {
            Principal::Application(_) => (&self.applications, None),
            Principal::ManagedIdentity(identity) => (&*self.managed, Some(&identity.resource_id)),
        };
        let ids = client.principal.ids();
        let subject = Subject {
            tenant_id: tenant,
            tenant_created: created.ok_or(StsError::Transient)?,
            client_id: ids.client_id,
            principal_id: ids.principal_id,
            resource_id,
            caller_id: None,
            proof: client.proof,
        };
        let mut entropy: Entropy = [0; 48];
        self.rng.lock().fill_bytes(&mut entropy);
        issuer.mint(&subject, audience, now, &entropy).map_err(|error| {
            tracing::error!(%error, "the token service cannot sign");
            StsError::Transient
        })
    }
}

/// Returns true if the `Content-Type` is that of a form; false if the header is missing.
fn is_form(parts: &Parts) -> bool {
    let Some(value) = parts.headers.get(CONTENT_TYPE) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
