//! Key vaults: the data plane of Azure Key Vault for secrets and keys, for every vault of the world on one
//! listener.
//!
//! The host of a request names the vault. A request without a token gets a challenge before any other check,
//! because clients send a first request without its body to learn which token they need. The next checks, in
//! this order, are the path, the query, the caller's roles and the body. Only then is the secret or the key
//! looked up.
//!
//! A write is durable when it is answered. There is no CORS, so a web page in a browser cannot read answers.

mod access;
mod backup;
mod bundle;
mod error;
mod headers;
mod host;
mod keys;
mod kind;
mod list;
mod located;
mod objects;
mod operation;
mod query;
mod request;
mod work;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};

use access::{authenticate, authorize};
use backup::{BACKUP_BYTES_MAX, Sealer};
use error::VaultError;
use headers::{Answered, no_content};
use host::{HOST_SYNTAX, first_label, is_any_vault, vault_name};
pub(crate) use located::AUDIENCE;
use located::Located;
use operation::{METHODS, Operation};
use query::Query;
use request::BODY_BYTES_MAX;
use work::{Outcome, Work};

pub(crate) use keys::rotate_keys_due;
pub(crate) use objects::purge_due;

use crate::base::clock::{Clock, UnixSeconds};
use crate::base::http::{
    BodyError, HostNames, HostRules, Payload, Peer, RequestIds, Surface, json_reply, read_body,
};
use crate::base::secret::Redacted;
use crate::service::directory::Directory;
use crate::service::faults::{Asked, Endpoint, Target};
use crate::service::token::{Bearer, Verifier};
use crate::service::world::is_object_name;

/// Settings of the vaults.
#[derive(Clone, Debug)]
pub(crate) struct VaultOptions {
    /// URL of the token service in challenges: scheme and host, without a slash at the end, as in
    /// `https://login.microsoftonline.com`.
    pub authority: String,
    /// Host names, besides addresses and `localhost`, that name this machine and no vault.
    pub names: HostNames,
    /// Seed that makes request ids differ from those of other surfaces.
    pub seed: u128,
    /// Key of 32 bytes that encrypts backups of secrets and keys.
    pub backup_key: Redacted,
    /// Largest number of versions of a secret or key.
    pub max_versions: usize,
}

/// All key vaults of a directory. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Vault(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    verifier: Verifier,
    authority: String,
    hosts: HostRules,
    names: HostNames,
    sealer: Sealer,
    max_versions: usize,
    request_ids: RequestIds,
}

/// The request of an authorized caller, for a thread that may wait for the disk or compute for long.
struct Slow {
    located: Located,
    bearer: Bearer,
    method: Method,
    path: String,
    body: Bytes,
    now: UnixSeconds,
}

impl Vault {
    /// Creates the vaults of `directory`.
    pub(crate) fn new(
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        options: VaultOptions,
    ) -> Self {
        let VaultOptions { authority, names, seed, backup_key, max_versions } = options;
        let verifier = Verifier::new(directory.ring());
        let (sealer, request_ids) = (Sealer(backup_key), RequestIds::new(seed));
        Self(Arc::new(Inner {
            directory,
            clock,
            verifier,
            authority,
            hosts: HostRules::any().with_syntax(HOST_SYNTAX),
            names,
            sealer,
            max_versions,
            request_ids,
        }))
    }

    /// Answers one request of `peer`. `body` is awaited only once the caller may do the operation.
    ///
    /// A write waits for the disk, and a key is generated or used for milliseconds and more. Both run on a
    /// blocking thread. This needs a Tokio runtime.
    pub(crate) async fn answer(
        &self,
        peer: Peer,
        parts: &Parts,
        body: impl Future<Output = Result<Bytes, BodyError>> + Send,
    ) -> Response<Payload> {
        let (located, outcome) = match self.0.locate(peer, parts) {
            Ok(located) => {
                let outcome = self.perform(&located, parts, body).await;
                (Some(located), outcome)
            }
            Err(refused) => (None, Err(refused)),
        };
        let mut response = match outcome {
            Ok(Outcome::Json(body)) => json_reply(StatusCode::OK, body),
            Ok(Outcome::Done) => no_content(),
            Err(refused) => refused.into_response(),
        };
        let answered = Answered {
            address: peer.addr.ip(),
            request_id: self.0.request_ids.next(),
            located: located.as_ref(),
            authority: &self.0.authority,
        };
        answered.put_headers(&mut response);
        response
    }

    async fn perform(
        &self,
        located: &Located,
        parts: &Parts,
        body: impl Future<Output = Result<Bytes, BodyError>> + Send,
    ) -> Result<Outcome, VaultError> {
        let inner = &self.0;
        let now = inner.clock.now();
        let bearer = authenticate(&parts.headers, &inner.verifier, &inner.directory, located, now)?;
        let operation = Operation::of(&parts.method, parts.uri.path())?;
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        if let Some(name) = operation.name().filter(|name| !is_object_name(name)) {
            return Err(VaultError::Name(name.to_owned()));
        }
        authorize(&inner.directory.read(), located, &bearer, &operation, now)?;
        let mut json = Bytes::new();
        if operation.takes_body() {
            json = body.await?;
            // The caller may have lost its role while the body arrived.
            authorize(&inner.directory.read(), located, &bearer, &operation, now)?;
        }
        if let Some(json) = inner.work(located, &bearer, operation, now).read(&query)? {
            return Ok(Outcome::Json(json));
        }
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let slow = Slow { located: located.clone(), bearer, method, path, body: json, now };
        // The operation runs to its end even if the client disconnects.
        let inner = Arc::clone(inner);
        let done = tokio::task::spawn_blocking(move || inner.perform(&slow)).await;
        done.unwrap_or(Err(VaultError::Interrupted))
    }
}

impl Inner {
    /// Finds the vault that the host names, by its first label or by its own loopback address. If the host is
    /// another address, `localhost` or a name of this machine, it means the only vault.
    fn locate(&self, peer: Peer, parts: &Parts) -> Result<Located, VaultError> {
        if !METHODS.split(", ").any(|method| method == parts.method.as_str()) {
            return Err(VaultError::MethodNotAllowed(METHODS));
        }
        self.located(peer, &parts.headers, &parts.uri)
    }

    fn located(&self, peer: Peer, headers: &HeaderMap, uri: &Uri) -> Result<Located, VaultError> {
        let host = self.hosts.check(headers, uri).ok_or(VaultError::Host)?;
        let state = self.directory.read();
        let named = match host.address() {
            Some(address) => state.vault_at(address.to_canonical()),
            None => state.vault_named(first_label(host)),
        };
        let sole = || {
            let mut vaults = state.vaults();
            let is_any_vault = is_any_vault(host) || self.names.contain(host.as_str());
            vaults.next().filter(|_| is_any_vault && vaults.next().is_none())
        };
        let found =
            named.or_else(sole).and_then(|vault| Some((vault, state.tenant_of(&vault.id)?)));
        let missing = || VaultError::VaultNotFound(vault_name(host).to_owned());
        let (vault, tenant) = found.ok_or_else(missing)?;
        let base_url = format!("{}://{}", peer.scheme, host.as_str());
        Ok(Located { vault: Arc::clone(vault), tenant_id: tenant.id, base_url })
    }

    fn work<'a>(
        &'a self,
        located: &'a Located,
        bearer: &'a Bearer,
        operation: Operation<'a>,
        now: UnixSeconds,
    ) -> Work<'a> {
        let Self { directory, sealer, max_versions, .. } = self;
        Work { directory, sealer, max_versions: *max_versions, located, bearer, operation, now }
    }

    fn perform(&self, slow: &Slow) -> Result<Outcome, VaultError> {
        let Slow { located, bearer, method, path, body, now } = slow;
        let operation = Operation::of(method, path)?;
        self.work(located, bearer, operation, *now).perform(body)
    }
}

impl Surface for Vault {
    type Caller = Peer;

    fn name(&self) -> &'static str {
        "vault"
    }

    fn caller(&self, peer: &Peer) -> Peer {
        *peer
    }

    async fn respond(&self, peer: &Peer, request: Request<Incoming>) -> Response<Payload> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().trim_matches('/');
        let is_restore = matches!(path, "keys/restore" | "secrets/restore");
        let bytes_max = if is_restore { BACKUP_BYTES_MAX } else { BODY_BYTES_MAX };
        self.answer(*peer, &parts, read_body(body, bytes_max)).await
    }
}

impl Target for Vault {
    const ENDPOINT: Endpoint = Endpoint::Vault;

    fn asked(&self, peer: &Peer, request: &Request<Incoming>) -> Asked {
        let located = self.0.located(*peer, request.headers(), request.uri());
        let name = located.map(|own| own.vault.id.name().to_owned()).unwrap_or_default();
        Asked::of_bearer(request.headers(), &self.0.directory.read(), name)
    }
}

#[cfg(test)]
mod tests;
