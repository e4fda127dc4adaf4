//! Key vaults: the secrets data plane of Azure Key Vault, for every vault of the world on one listener.
//!
//! The host of a request names the vault. A request without a token gets a challenge before any other check,
//! because clients send a first request without its body to learn which token they need. The next checks, in
//! this order, are the path, the query, the caller's roles and the body. Only then is the secret looked up.
//!
//! A write is durable when it is answered. There is no CORS, so a web page in a browser cannot read answers.

mod access;
mod backup;
mod bundle;
mod error;
mod headers;
mod host;
mod list;
mod located;
mod operation;
mod query;
mod request;
mod secrets;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use access::{authenticate, authorize};
use backup::{BACKUP_BYTES_MAX, Sealer};
use bundle::{Bundle, Shown};
use error::VaultError;
use headers::{Answered, json, no_content};
use host::{HOST_SYNTAX, first_label, is_any_vault, vault_name};
use list::List;
pub(crate) use located::AUDIENCE;
use located::Located;
use operation::{METHODS, Operation};
use query::Query;
use request::{BODY_BYTES_MAX, NewVersion, Properties};
use secrets::SecretRef;

pub(crate) use secrets::purge_due;

use crate::base::clock::{Clock, UnixSeconds};
use crate::base::http::{
    BodyError, HostNames, HostRules, Payload, Peer, RequestIds, Surface, json_reply, read_body,
};
use crate::base::secret::Redacted;
use crate::service::directory::{Directory, State};
use crate::service::token::{Bearer, Verifier};
use crate::service::world::is_secret_name;
use crate::service::world::record;

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
    /// Key of 32 bytes that encrypts backups of secrets.
    pub backup_key: Redacted,
    /// Largest number of versions of a secret.
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

/// A write of an authorized caller, for a thread that may wait for the disk.
struct Write {
    located: Located,
    bearer: Bearer,
    method: Method,
    path: String,
    body: Bytes,
    now: UnixSeconds,
}

/// Result of an operation.
enum Outcome {
    Done,
    Json(String),
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
    /// A write waits for the disk, so it runs on a blocking thread. This needs a Tokio runtime.
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
        if let Some(name) = operation.secret().filter(|name| !is_secret_name(name)) {
            return Err(VaultError::Name(name.to_owned()));
        }
        authorize(&inner.directory.read(), located, &bearer, &operation, now)?;
        let mut json = Bytes::new();
        if operation.takes_body() {
            json = body.await?;
            // The caller may have lost its role while the body arrived.
            authorize(&inner.directory.read(), located, &bearer, &operation, now)?;
        }
        if let Some(json) = inner.read(located, &operation, &query, now)? {
            return Ok(Outcome::Json(json));
        }
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let write = Write { located: located.clone(), bearer, method, path, body: json, now };
        // The write runs to its end even if the client disconnects.
        let inner = Arc::clone(inner);
        let done = tokio::task::spawn_blocking(move || inner.write(&write)).await;
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
        let host = self.hosts.check(&parts.headers, &parts.uri).ok_or(VaultError::Host)?;
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

    /// Returns the answer to an operation that changes nothing.
    fn read(
        &self,
        located: &Located,
        operation: &Operation<'_>,
        query: &Query,
        now: UnixSeconds,
    ) -> Result<Option<String>, VaultError> {
        let state = self.directory.read();
        let vault = &located.vault.id;
        let list = |path| List { located, query, path };
        let answer = match *operation {
            Operation::BackupSecret { name } => {
                self.sealer.backup(SecretRef { vault, name }.live(&state)?)?
            }
            Operation::GetDeletedSecret { name } => {
                let deleted = SecretRef { vault, name }.deleted(&state, now)?;
                json(&Bundle::of_deleted(&deleted, located, Shown::Version))
            }
            Operation::GetSecret { name, version } => {
                let version = SecretRef { vault, name }.readable(&state, version)?;
                json(&Bundle::with_value(&version, located))
            }
            Operation::ListDeletedSecrets => {
                list("/deletedsecrets".to_owned()).deleted(&state, now)?
            }
            Operation::ListSecretVersions { name } => {
                list(format!("/secrets/{name}/versions")).versions(&state, name)?
            }
            Operation::ListSecrets => list("/secrets".to_owned()).secrets(&state)?,
            Operation::DeleteSecret { .. }
            | Operation::PurgeDeletedSecret { .. }
            | Operation::RecoverDeletedSecret { .. }
            | Operation::RestoreSecret
            | Operation::SetSecret { .. }
            | Operation::UpdateSecret { .. } => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Runs an operation that changes something.
    fn write(&self, write: &Write) -> Result<Outcome, VaultError> {
        let Write { located, bearer, method, path, body, now } = write;
        let (operation, now) = (Operation::of(method, path)?, *now);
        let vault = &located.vault.id;
        let secret = SecretRef { vault, name: operation.secret().unwrap_or_default() };
        let directory = &self.directory;
        // Checks the roles again, on the state that the write changes.
        let permit = |state: &State| authorize(state, located, bearer, &operation, now);
        let shown = |version: &record::SecretVersion| {
            Outcome::Json(json(&Bundle::of(version, located, Shown::Version)))
        };
        match operation {
            Operation::DeleteSecret { .. } => {
                let deleted = directory.write(now, |state, _| {
                    permit(state)?;
                    secret.delete(state, now)
                })?;
                let bundle = Bundle::of_deleted(&deleted, located, Shown::Version);
                Ok(Outcome::Json(json(&bundle)))
            }
            Operation::PurgeDeletedSecret { .. } => {
                directory.write(now, |state, _| {
                    permit(state)?;
                    secret.purge(state, now)
                })?;
                Ok(Outcome::Done)
            }
            Operation::RecoverDeletedSecret { .. } => {
                let recovered = directory.write(now, |state, _| {
                    permit(state)?;
                    secret.recover(state, now)
                })?;
                Ok(shown(&recovered))
            }
            Operation::RestoreSecret => {
                let versions = self.sealer.open(body)?;
                let restored = directory.write(now, |state, _| {
                    permit(state)?;
                    backup::restore(state, located, versions, now, self.max_versions)
                })?;
                Ok(shown(&restored))
            }
            Operation::SetSecret { .. } => {
                let new = NewVersion::parse(body)?;
                let set = directory.write(now, |state, fresh| {
                    permit(state)?;
                    secret.set(state, fresh, new, (now, self.max_versions))
                })?;
                Ok(Outcome::Json(json(&Bundle::with_value(&set, located))))
            }
            Operation::UpdateSecret { version, .. } => {
                let properties = Properties::parse(body)?;
                let updated = directory.write(now, |state, _| {
                    permit(state)?;
                    secret.update(state, version, properties, now)
                })?;
                Ok(shown(&updated))
            }
            Operation::BackupSecret { .. }
            | Operation::GetDeletedSecret { .. }
            | Operation::GetSecret { .. }
            | Operation::ListDeletedSecrets
            | Operation::ListSecretVersions { .. }
            | Operation::ListSecrets => Err(VaultError::PathNotFound),
        }
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
        let is_restore = parts.uri.path().trim_matches('/') == "secrets/restore";
        let bytes_max = if is_restore { BACKUP_BYTES_MAX } else { BODY_BYTES_MAX };
        self.answer(*peer, &parts, read_body(body, bytes_max)).await
    }
}

#[cfg(test)]
mod tests;
