//! Token source that calls a token service in another process. It makes the client-credentials call that
//! Azure makes for a virtual machine (RFC 6749 section 4.4). An assertion signed with the identity's
//! certificate is the credential.
//!
//! Mint lanes block here; the pooled connections belong to a thread of their own.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::base::client::{Client, ClientError, ClientLimits};
use crate::base::clock::UnixSeconds;
use crate::base::tls::Fault;
use crate::service::directory::Directory;
use crate::service::token::{
    AssertionForm, ClientAssertion, Entropy, MintError, Subject, Token, TokenSource,
};

/// Limits of one call. A healthy service answers within milliseconds. If it does not answer, each mint lane
/// that calls it is blocked, for at most three such calls and their back-off.
const LIMITS: ClientLimits = ClientLimits {
    connect: Duration::from_secs(1),
    total: Duration::from_secs(3),
    response_bytes_max: 64 * 1024,
    idle_max: 64,
};

/// Greatest number of calls for one token, when the service fails or cannot be reached.
const ATTEMPTS: u32 = 3;

/// Longest back-off before the second attempt. It doubles with each further attempt.
const BACKOFF: Duration = Duration::from_millis(100);

/// Reasons why the source cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The text is no URL to which `/{tenant}/oauth2/token` can be appended.
    #[error("`{0}` is not the URL of a token service; write https://HOST[:PORT]")]
    Url(String),
    /// The system could not start a thread.
    #[error("cannot start the thread of the token source")]
    System(#[from] std::io::Error),
}

/// A token service in another process.
pub(crate) struct Remote {
    directory: Arc<Directory>,
    base_url: String,
    client: Arc<Client>,
    runtime: tokio::runtime::Handle,
    /// Dropping this sender ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Remote {
    /// Starts a source that calls `base_url`. It authenticates with the certificates of `directory`.
    ///
    /// # Errors
    /// Returns `Url` when the URL is not valid, or `System` when the thread or its runtime cannot be started.
    pub(crate) fn start(
        directory: Arc<Directory>,
        base_url: &str,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, SourceError> {
        let base_url = normal(base_url).ok_or_else(|| SourceError::Url(base_url.to_owned()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("token-source".to_owned());
        let thread = thread.spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self {
            directory,
            base_url,
            client: Arc::new(Client::new(Some(tls), LIMITS)),
            runtime: handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn request(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        id: [u8; 16],
    ) -> Result<Request<Bytes>, MintError> {
        let url = format!("{}/{}/oauth2/token", self.base_url, subject.tenant_id);
        let key = self.directory.certificate_of(subject.principal_id, now);
        let key = key.map_err(|error| MintError::Unavailable(error.to_string()))?;
        let client_id = subject.client_id.to_string();
        let assertion =
            ClientAssertion { client_id: &client_id, audience: &url, issued_at: now, id };
        let assertion = assertion.sign(&key, AssertionForm::Ps256WithCertificate)?;
        let form = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &client_id),
            ("resource", resource),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ]);
        let request = Request::post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .body(Bytes::from(form));
        request.map_err(|error| MintError::Unavailable(error.to_string()))
    }

    /// Sends one request, and blocks the mint lane until the response.
    fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let (tell, told) = mpsc::sync_channel(1);
        let client = Arc::clone(&self.client);
        self.runtime.spawn(async move {
            let _ = tell.send(client.send(request).await);
        });
        let answer = told.recv().map_err(|_| "the token source is stopping".to_owned())?;
        answer.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let remedy = match &error {
                ClientError::Tls { source, .. } => Fault::of(source),
                _ => None,
            };
            let remedy = remedy.map(|fault| format!("; {}", fault.remedy("--token-source-ca")));
            format!("{error}{}{}", cause.unwrap_or_default(), remedy.unwrap_or_default())
        })
    }
}

/// Returns the URL with scheme and host in lower case (RFC 3986 section 6.2.2.1) and without a final slash.
/// Returns `None` if it is no URL of a service.
fn normal(url: &str) -> Option<String> {
    let uri: Uri = url.trim_end_matches('/').parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority()?.as_str().to_ascii_lowercase();
    let path = uri.path_and_query().map_or("", |path| path.as_str()).trim_end_matches('/');
    Some(format!("{scheme}://{authority}{path}"))
}

impl TokenSource for Remote {
    fn mint(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<Token, MintError> {
        let (id, jitter) = entropy.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let mut last = MintError::Unavailable("it was not asked".to_owned());
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(backoff(attempt, jitter));
            }
            // Each attempt has an assertion of its own, because a service may refuse a repeated one.
            let mut id = *id;
            id.rotate_left(attempt as usize);
            let answer = self.call(self.request(subject, resource, now, id)?);
            last = match answer.map(|answer| judge(&answer, subject, resource, now)) {
                Ok(Verdict::Token(token)) => return Ok(token),
                Ok(Verdict::Refused(refusal)) => return Err(refusal),
                Ok(Verdict::Failed(reason)) | Err(reason) => MintError::Unavailable(reason),
            };
        }
        Err(last)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Verdict {
    Token(Token),
    /// The refusal is passed on: another attempt would not help.
    Refused(MintError),
    /// The call may be repeated.
    Failed(String),
}

/// Error object of RFC 6749 section 5.2.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
    #[serde(default)]
    error_description: String,
}

fn judge(
    answer: &Response<Bytes>,
    subject: &Subject<'_>,
    resource: &str,
    now: UnixSeconds,
) -> Verdict {
    let status = answer.status();
    if status == StatusCode::OK {
        let token = Token::from_answer(answer.body(), subject.client_id, resource, now);
        let malformed = || Verdict::Failed("its answer holds no token".to_owned());
        return token.map_or_else(malformed, Verdict::Token);
    }
    let busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status.is_client_error()
        && !busy
        && let Ok(ErrorAnswer { error, error_description: description }) =
            serde_json::from_slice(answer.body())
    {
        return Verdict::Refused(MintError::Refused { error, description });
    }
    Verdict::Failed(format!("it answers {}", status.as_u16()))
}

/// Returns a random back-off between half and all of the longest one, so that callers who failed together do
/// not retry together.
fn backoff(attempt: u32, jitter: &[u8]) -> Duration {
    let whole = BACKOFF * 2_u32.saturating_pow(attempt.saturating_sub(1));
    let random = jitter.get(attempt as usize).copied().unwrap_or(0);
    whole / 2 + whole * u32::from(random) / 512
}

fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests;
