//! The folder of a running server, and requests to its admin endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use rustix::process::geteuid;

use super::error::RunningError;
use crate::base::client::{BlockingClient, Client, ClientLimits};
use crate::base::files;
use crate::base::files::{GroupRead, check_folder, read_secret};
use crate::base::network::listening_user;
use crate::base::secret::Redacted;

/// Largest file that is read, in bytes. The files have a few hundred.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A server and its folder. The server may have ended since it wrote the files.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    folder: PathBuf,
    group: GroupRead,
    /// URL of each endpoint by its name, without a slash at the end.
    endpoints: BTreeMap<String, String>,
}

/// Returns the limits of a client that waits at most `timeout`.
pub(crate) fn limits(timeout: Duration) -> ClientLimits {
    ClientLimits { connect: timeout, total: timeout, ..ClientLimits::default() }
}

impl Running {
    /// Reads the addresses of the server that has `folder`.
    ///
    /// # Errors
    /// Returns an error when no server has it, or when others can write in it.
    pub(crate) fn of(folder: &Path, group: GroupRead) -> Result<Self, RunningError> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let absent = || RunningError::NoServer(folder.clone());
        check_folder(&folder, group)
            .map_err(|error| if error.is_missing() { absent() } else { error.into() })?;
        let path = folder.join("endpoints.json");
        let text = files::read(&path, FILE_BYTES_MAX)
            .map_err(|error| if error.is_missing() { absent() } else { error.into() })?;
        let endpoints: Result<BTreeMap<String, String>, _> = serde_json::from_slice(&text);
        let malformed = |reason: String| RunningError::Malformed { path: path.clone(), reason };
        let mut endpoints = endpoints.map_err(|error| malformed(error.to_string()))?;
        for url in endpoints.values_mut() {
            url.truncate(url.trim_end_matches('/').len());
        }
        for name in ["admin", "imds", "sts"] {
            if !endpoints.contains_key(name) {
                return Err(malformed(format!("it has no `{name}`")));
            }
        }
        Ok(Self { folder, group, endpoints })
    }

    /// Returns the URL of an endpoint; empty if the server has no such endpoint.
    pub(crate) fn url(&self, name: &str) -> &str {
        self.endpoints.get(name).map_or("", String::as_str)
    }

    /// Returns the address and port of an endpoint, if the server has it.
    pub(crate) fn address(&self, name: &str) -> Option<SocketAddr> {
        address(self.url(name))
    }

    /// Returns the folder, an absolute path.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the certificate of the server's authority, an absolute path.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Checks that the server of this folder answers, and not another one at its old port.
    ///
    /// # Errors
    /// Returns an error when it does not.
    pub(super) fn is_up(&self, timeout: Duration) -> Result<(), RunningError> {
        let own = files::read(&self.ca(), FILE_BYTES_MAX)?;
        let answered = self.get("/ca.pem", limits(timeout))?.accepted()?;
        if answered.trim_ascii() == own.trim_ascii() {
            return Ok(());
        }
        let url = self.url("admin").to_owned();
        Err(RunningError::Replaced { folder: self.folder.clone(), url })
    }

    /// Reads from the admin endpoint. Sends the admin secret only if the endpoint asks for it.
    ///
    /// # Errors
    /// Returns an error when there is no answer.
    pub(crate) fn get(&self, target: &str, limits: ClientLimits) -> Result<Answer, RunningError> {
        let answer = self.send(&Method::GET, target, Bytes::new(), None, limits)?;
        if answer.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.ask(&Method::GET, target, Bytes::new(), limits)
    }

    /// Sends a request with the admin secret to the admin endpoint.
    ///
    /// # Errors
    /// Returns an error when there is no answer, or no secret to send.
    pub(crate) fn ask(
        &self,
        method: &Method,
        target: &str,
        body: Bytes,
        limits: ClientLimits,
    ) -> Result<Answer, RunningError> {
        self.check_listener()?;
        let path = self.folder.join("admin.secret");
        let secret = read_secret(&path, FILE_BYTES_MAX, self.group)?;
        self.send(method, target, body, Some(&secret), limits)
    }

    fn send(
        &self,
        method: &Method,
        target: &str,
        body: Bytes,
        secret: Option<&Redacted>,
        limits: ClientLimits,
    ) -> Result<Answer, RunningError> {
        let url = format!("{}{target}", self.url("admin"));
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(secret) = secret {
            let header = [b"Bearer ", secret.expose().trim_ascii()].concat();
            let mut header = HeaderValue::from_bytes(&header)
                .map_err(|_| self.malformed("admin.secret", "it is not one line of text"))?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        let unsendable = |_| self.malformed("endpoints.json", "`admin` is not a URL");
        let request = request.body(body).map_err(unsendable)?;
        let client = BlockingClient::start(Client::new(None, limits));
        let sent = client.map_err(RunningError::Runtime)?.send(request);
        let silent = |source| RunningError::Silent { folder: self.folder.clone(), source };
        Ok(Answer { url, response: sent.map_err(silent)? })
    }

    fn malformed(&self, file: &str, reason: &str) -> RunningError {
        RunningError::Malformed { path: self.folder.join(file), reason: reason.to_owned() }
    }

    /// Checks that no other user has taken the port of a server that has ended. The owner of a connection is
    /// not always known, as behind the published port of a container.
    fn check_listener(&self) -> Result<(), RunningError> {
        let user = self.address("admin").and_then(listening_user);
        let trusted = [geteuid().as_raw(), 0];
        match user {
            Some(user) if !trusted.contains(&user) => Err(RunningError::Foreign {
                folder: self.folder.clone(),
                url: self.url("admin").to_owned(),
                user,
            }),
            _ => Ok(()),
        }
    }
}

/// Returns the address and port of a URL that names an address.
fn address(url: &str) -> Option<SocketAddr> {
    let url: Uri = url.parse().ok()?;
    url.authority()?.as_str().parse().ok()
}

/// An answer of the admin endpoint.
#[derive(Debug)]
pub(crate) struct Answer {
    url: String,
    pub(crate) response: Response<Bytes>,
}

impl Answer {
    /// Returns the body of a successful answer.
    ///
    /// # Errors
    /// Returns an error with the text of any other answer.
    pub(crate) fn accepted(self) -> Result<Bytes, RunningError> {
        let (status, url) = (self.response.status(), self.url);
        let body = self.response.into_body();
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        Err(RunningError::Refused { url, status, text })
    }
}
