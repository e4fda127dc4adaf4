//! Requests to the server as the operator.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use rand::TryRng as _;
use serde_json::Value;
use uuid::Uuid;

use super::data::{DataFolder, Endpoints};
use super::error::ControlError;
use super::operator::Operator;
use super::refusal::{Refusal, Service, remedy};
use crate::base::client::{BlockingClient, Client, ClientError, ClientLimits};
use crate::base::clock::{Clock, SystemClock};
use crate::base::ids::{PrincipalId, SubscriptionId};
use crate::base::secret::SecretText;

/// Sends a request and waits for its answer. Tests replace it.
pub(crate) trait Transport: fmt::Debug {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError>;

    /// Waits between two polls of an unfinished operation.
    fn pause(&self, span: Duration);
}

impl Transport for BlockingClient {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
        self.send(request)
    }

    fn pause(&self, span: Duration) {
        self.pause(span);
    }
}

/// Largest answer, in bytes. Lists may be long: a world has up to 16 million VMs, and a page of the server
/// 1000 items.
const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest number of polls of an operation, and the longest wait between two of them.
const LOOKS_MAX: u32 = 120;
const REST_MAX: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_millis(100);

/// API version of the list of subscriptions.
const SUBSCRIPTIONS_API: &str = "2022-12-01";

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Value,
}

/// A server and its caller.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) operator: Operator,
    endpoints: Endpoints,
    transport: Box<dyn Transport>,
    clock: Box<dyn Clock>,
    tokens: RefCell<BTreeMap<Service, HeaderValue>>,
    subscription: OnceCell<SubscriptionId>,
}

impl Session {
    /// Opens a session with the server of `folder`. Nothing is sent yet.
    pub(crate) fn open(
        folder: &DataFolder,
        subscription: Option<SubscriptionId>,
    ) -> Result<Self, ControlError> {
        let endpoints = folder.endpoints()?;
        let operator = folder.operator()?;
        let limits =
            ClientLimits { response_bytes_max: RESPONSE_BYTES_MAX, ..ClientLimits::default() };
        let client = BlockingClient::start(Client::new(Some(folder.trust()?), limits));
        let transport = Box::new(client.map_err(ControlError::Runtime)?);
        Ok(Self::new(operator, endpoints, transport, Box::new(SystemClock), subscription))
    }

    pub(crate) fn new(
        operator: Operator,
        endpoints: Endpoints,
        transport: Box<dyn Transport>,
        clock: Box<dyn Clock>,
        subscription: Option<SubscriptionId>,
    ) -> Self {
        let subscription = subscription.map_or_else(OnceCell::new, OnceCell::from);
        let tokens = RefCell::default();
        Self { operator, endpoints, transport, clock, tokens, subscription }
    }

    /// Uses `token`, if given, instead of the operator's, for every service that accepts it.
    pub(crate) fn with_access_token(
        mut self,
        token: Option<&SecretText>,
    ) -> Result<Self, ControlError> {
        if let Some(token) = token {
            if let Some(object_id) = object_id(token.0.expose()) {
                self.operator.ids.object_id = object_id;
            }
            let header = bearer(token.0.expose()).ok_or(ControlError::AccessToken)?;
            let services = [Service::Arm, Service::Vault];
            *self.tokens.borrow_mut() = services.map(|service| (service, header.clone())).into();
        }
        Ok(self)
    }

    /// Returns the named subscription, or the only one.
    pub(crate) fn subscription(&self) -> Result<SubscriptionId, ControlError> {
        if let Some(subscription) = self.subscription.get() {
            return Ok(*subscription);
        }
        let all = self.list(&format!("/subscriptions?api-version={SUBSCRIPTIONS_API}"))?;
        let ids = all.iter().filter_map(|one| text(one, "/subscriptionId").parse().ok());
        match ids.collect::<Vec<SubscriptionId>>().as_slice() {
            [only] => Ok(*self.subscription.get_or_init(|| *only)),
            [] => Err(ControlError::NoSubscription),
            several => Err(ControlError::choice(several)),
        }
    }

    /// Sends a request to the management API. `target` is a path with a query. Waits until operations end.
    pub(crate) fn arm(
        &self,
        method: &Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ControlError> {
        let url = format!("{}{target}", self.endpoints.arm);
        let answer = self.ask(Service::Arm, method, &url, body)?;
        self.settle(answer)
    }

    /// Reads the resource at `target` from the management API.
    pub(crate) fn get(&self, target: &str) -> Result<Value, ControlError> {
        Ok(self.arm(&Method::GET, target, None)?.body)
    }

    /// Reads all pages of a list from the management API.
    pub(crate) fn list(&self, target: &str) -> Result<Vec<Value>, ControlError> {
        self.pages(Service::Arm, &self.endpoints.arm, target)
    }

    /// Sends a request to a vault.
    pub(crate) fn vault(
        &self,
        vault: &str,
        method: &Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Value, ControlError> {
        let url = format!("{}{target}", self.vault_url(vault)?);
        Ok(self.ask(Service::Vault, method, &url, body)?.body)
    }

    /// Reads all pages of a list from a vault.
    pub(crate) fn vault_list(&self, vault: &str, target: &str) -> Result<Vec<Value>, ControlError> {
        self.pages(Service::Vault, &self.vault_url(vault)?, target)
    }

    /// Returns the URL of a vault. The server identifies the vault by its host name.
    pub(crate) fn vault_url(&self, vault: &str) -> Result<String, ControlError> {
        let url = &self.endpoints.vault;
        let port = url.parse::<Uri>().ok().and_then(|url| url.port_u16());
        let port = port.ok_or_else(|| unreadable(url, "the URL of the vaults has no port"))?;
        Ok(format!("https://{vault}.vault.localhost:{port}"))
    }

    fn pages(
        &self,
        service: Service,
        base: &str,
        target: &str,
    ) -> Result<Vec<Value>, ControlError> {
        let mut all = Vec::new();
        let mut next = Some(format!("{base}{target}"));
        while let Some(url) = next.take() {
            let mut page = self.ask(service, &Method::GET, &url, None)?.body;
            let Some(Value::Array(items)) = page.get_mut("value").map(Value::take) else {
                return Err(unreadable(&url, "a list has no `value`"));
            };
            all.extend(items);
            next = here(base, text(&page, "/nextLink"));
        }
        Ok(all)
    }

    /// Waits until the operation that `answer` refers to has ended.
    fn settle(&self, answer: Answer) -> Result<Answer, ControlError> {
        let link = |answer: &Answer| {
            let named = |name| answer.headers.get(name)?.to_str().ok();
            let location = || named("location").filter(|_| answer.status == StatusCode::ACCEPTED);
            here(&self.endpoints.arm, named("azure-asyncoperation").or_else(location)?)
        };
        let Some(url) = link(&answer) else { return Ok(answer) };
        for _ in 0..LOOKS_MAX {
            let look = self.ask(Service::Arm, &Method::GET, &url, None)?;
            match look.body.get("status").and_then(Value::as_str) {
                Some("Failed" | "Canceled") => {
                    return Err(self.refused(Service::Arm, &url, look.status, &look.body));
                }
                Some("Succeeded") => return Ok(answer),
                None if look.status != StatusCode::ACCEPTED => return Ok(answer),
                _ => self.transport.pause(rest(&look)),
            }
        }
        Err(ControlError::Unfinished)
    }

    fn ask(
        &self,
        service: Service,
        method: &Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ControlError> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, self.token(service)?);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request.body(bytes).map_err(|error| unreadable(url, &error.to_string()))?;
        self.answered(service, url, self.transport.send(request)?)
    }

    fn answered(
        &self,
        service: Service,
        url: &str,
        response: Response<Bytes>,
    ) -> Result<Answer, ControlError> {
        let (head, bytes) = response.into_parts();
        let body = match bytes.as_ref() {
            [] => Ok(Value::Null),
            bytes => serde_json::from_slice(bytes),
        };
        match body {
            Ok(body) if head.status.is_success() => {
                Ok(Answer { status: head.status, headers: head.headers, body })
            }
            Err(error) if head.status.is_success() => Err(unreadable(url, &error.to_string())),
            body => Err(self.refused(service, url, head.status, &body.unwrap_or_default())),
        }
    }

    fn refused(
        &self,
        service: Service,
        url: &str,
        status: StatusCode,
        body: &Value,
    ) -> ControlError {
        let refusal = Box::new(Refusal::new(service, status, body));
        let remedy = remedy(&refusal, url, self.operator.ids.object_id);
        ControlError::Refused { refusal, remedy }
    }

    /// Returns the `Authorization` header for `service`. One token serves the whole session.
    fn token(&self, service: Service) -> Result<HeaderValue, ControlError> {
        if let Some(token) = self.tokens.borrow().get(&service) {
            return Ok(token.clone());
        }
        let token = self.sign_in(service)?;
        self.tokens.borrow_mut().insert(service, token.clone());
        Ok(token)
    }

    /// Signs in with the client-credentials grant and a certificate (RFC 6749 section 4.4, RFC 7523 section
    /// 2.2).
    fn sign_in(&self, service: Service) -> Result<HeaderValue, ControlError> {
        let ids = &self.operator.ids;
        let url = format!("{}/{}/oauth2/v2.0/token", self.endpoints.sts, ids.tenant_id);
        let assertion = self.operator.assertion(&url, self.clock.now(), new_guid()?)?;
        let (client_id, scope) = (ids.client_id, service.scope());
        let form = format!(
            "grant_type=client_credentials&client_id={client_id}&scope={scope}\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion={assertion}"
        );
        let request = Request::post(&url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form))
            .map_err(|error| unreadable(&url, &error.to_string()))?;
        let answer = self.answered(Service::Sts, &url, self.transport.send(request)?)?;
        let token = text(&answer.body, "/access_token");
        bearer(token.as_bytes()).ok_or_else(|| unreadable(&url, "the token is not text"))
    }
}

/// Returns the object id in a token without verifying it, only for advice.
fn object_id(token: &[u8]) -> Option<PrincipalId> {
    let claims = token.split(|byte| *byte == b'.').nth(1)?;
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    text(&claims, "/oid").parse().ok()
}

fn bearer(token: &[u8]) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Returns a link from the server with the known base URL instead of its own, so that no link sends a token
/// elsewhere.
fn here(base: &str, link: &str) -> Option<String> {
    let target = link.parse::<Uri>().ok()?.path_and_query()?.to_string();
    Some(format!("{base}{target}"))
}

fn rest(answer: &Answer) -> Duration {
    let asked =
        answer.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    asked.map_or(REST, Duration::from_secs).min(REST_MAX)
}

fn unreadable(url: &str, reason: &str) -> ControlError {
    ControlError::Answer { url: url.to_owned(), reason: reason.to_owned() }
}

/// Returns a random GUID (RFC 9562 section 5.4).
pub(crate) fn new_guid() -> Result<Uuid, ControlError> {
    let mut bytes = [0; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|_| ControlError::Entropy)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// Returns the text at `pointer` (RFC 6901), empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
