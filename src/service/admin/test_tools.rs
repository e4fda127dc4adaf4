//! What only a server for tests has: a clock that moves, and broken tokens. Also the world to return to.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode};
use serde_json::{Map, Value};

use super::worlds::unread;
use crate::base::clock::{Clock as _, MovedClock, offset, offset_text};
use crate::base::http::{Payload, json_reply, read_body, text_reply};
use crate::service::token::{Flaw, TokenBreaker};
use crate::service::world::record::Record;

/// Largest token that is broken, and longest offset, in bytes.
const BYTES_MAX: usize = 64 << 10;

/// Tools of a server for tests.
#[derive(Debug)]
pub(crate) struct TestTools {
    /// World to which `POST /reset` returns.
    pub start: Vec<Record>,
    /// Clock of the server.
    pub clock: Arc<MovedClock>,
    /// Maker of broken tokens; `None` if another process signs the tokens.
    pub breaker: Option<Arc<TokenBreaker>>,
}

/// Shows (GET) or sets (PUT) the distance from the clock of the machine.
pub(super) async fn clock(
    tools: Option<&TestTools>,
    method: &Method,
    body: Incoming,
) -> Response<Payload> {
    let Some(TestTools { clock, .. }) = tools else {
        return refused("only a server for tests moves its clock; start it with --test-tools\n");
    };
    if *method == Method::PUT {
        let text = match read_body(body, BYTES_MAX).await {
            Ok(text) => text,
            Err(error) => return unread(error),
        };
        match offset(String::from_utf8_lossy(&text).trim()) {
            Ok(ahead_s) => clock.set(ahead_s),
            Err(error) => return text_reply(StatusCode::BAD_REQUEST, format!("{error}\n")),
        }
        tracing::warn!(ahead_s = clock.ahead_s(), "the clock of the server was moved");
    }
    let (now, ahead) = (clock.now().rfc3339(), offset_text(clock.ahead_s()));
    text_reply(StatusCode::OK, format!("{now} {ahead}\n"))
}

/// Answers one token like that in the body for each flaw, by the name of the flaw.
pub(super) async fn broken(tools: Option<&TestTools>, body: Incoming) -> Response<Payload> {
    let Some(breaker) = tools.and_then(|tools| tools.breaker.as_ref()) else {
        return refused(
            "only a server for tests breaks tokens, with its own keys; start it with --test-tools and without --token-source\n",
        );
    };
    let text = match read_body(body, BYTES_MAX).await {
        Ok(text) => text,
        Err(error) => return unread(error),
    };
    let text = String::from_utf8_lossy(&text);
    let all: Option<Map<String, Value>> =
        Flaw::ALL.iter().map(|flaw| named(breaker, text.trim(), *flaw)).collect();
    match all {
        Some(all) => json_reply(StatusCode::OK, Value::from(all).to_string()),
        None => text_reply(
            StatusCode::BAD_REQUEST,
            "the body is no access token; send one that this server issued\n",
        ),
    }
}

fn named(breaker: &TokenBreaker, token: &str, flaw: Flaw) -> Option<(String, Value)> {
    let name = serde_json::to_value(flaw).ok()?.as_str()?.to_owned();
    Some((name, breaker.break_token(token, flaw)?.into()))
}

fn refused(said: &'static str) -> Response<Payload> {
    text_reply(StatusCode::FORBIDDEN, said)
}
