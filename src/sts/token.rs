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
use super::{Body, Sts, Version, resource};
use crate::clock::UnixSeconds;
use crate::directory::Principal;
use crate::http::Payload;
use crate::ids::TenantId;
use crate::token::{Entropy, Subject, Token, TokenSource as _};

/// The names under which Entra finds out the tenant by who signs in; a client alone has none.
const TENANTS_OF_USERS: [&str; 3] = ["common", "organizations", "consumers"];

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
            // Entra misses the first parameter of what is not a form.
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
        if self.directory.resources().named(resource).is_none() {
            let (resource, tenant) = (resource.to_owned(), tenant.to_string());
            return Err(StsError::ResourceUnknown { resource, tenant });
        }
        Ok((self.minted(&client, tenant, resource, now)?, resource.to_owned()))
    }

    fn tenant_of_clients(&self, name: &str) -> Result<TenantId, StsError> {
        if TENANTS_OF_USERS.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(StsError::TenantNone);
        }
        let unknown = || StsError::TenantUnknown { name: name.to_owned(), at: TenantAt::Token };
        self.tenant(name).ok_or_else(unknown)
    }

    /// Signs here, on the thread of this surface: at under a millisecond, others do not wait long, and the
    /// identity endpoint has threads of its own. A caller who wants many tokens is to keep them.
    fn minted(
        &self,
        client: &Client,
        tenant: TenantId,
        resource: &str,
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
            proof: client.proof,
        };
        let mut entropy: Entropy = [0; 48];
        self.rng.lock().fill_bytes(&mut entropy);
        issuer.mint(&subject, resource, now, &entropy).map_err(|error| {
            tracing::error!(%error, "the token service cannot sign");
            StsError::Transient
        })
    }
}

/// Whether the body says that it is a form; none says nothing else.
fn is_form(parts: &Parts) -> bool {
    let Some(value) = parts.headers.get(CONTENT_TYPE) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
