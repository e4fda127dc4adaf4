//! Faults as a client meets them.

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

use super::asked::Asked;
use super::document::{Endpoint, Fault};
use super::injector::Faults;
use super::refusal;
use super::wait::{Wait, Waited};
use crate::base::alarm::Alarm;
use crate::base::http::{Cut, Payload};
use crate::service::token::{Flaw, TokenBreaker};

impl Faults {
    /// Answers a request: with `answer`, unless the plan has a fault for what was `asked`.
    pub(crate) async fn around(
        &self,
        endpoint: Endpoint,
        asked: &Asked,
        answer: impl Future<Output = Response<Payload>>,
    ) -> Response<Payload> {
        // Taken before the choice, so that no release after it is missed.
        let released = self.waits.subscribe();
        let Some(fault) = self.choose(endpoint, asked) else { return answer.await };
        let enter = || self.waits.enter(released);
        match fault {
            Fault::Status { status, retry_after } => {
                let status = StatusCode::from_u16(status);
                refusal::answer(endpoint, status.unwrap_or_default(), retry_after)
            }
            Fault::Reset {} => cut(Cut::Reset),
            Fault::Hang {} => {
                if let Some(wait) = enter() {
                    wait.forever().await;
                }
                cut(Cut::Close)
            }
            Fault::Slow { delay } => {
                if let (Some(mut wait), Ok(alarm)) = (enter(), Alarm::new()) {
                    wait.span(&alarm, delay.0).await;
                }
                answer.await
            }
            Fault::Trickle { every, bytes } => match (enter(), Alarm::new()) {
                (Some(wait), Ok(alarm)) => trickled(answer.await, wait, alarm, every.0, bytes),
                _ => answer.await,
            },
            Fault::Truncated {} => truncated(answer.await),
            Fault::WrongJson {} => halved(answer.await),
            Fault::WrongContentType {} => as_page(answer.await),
            Fault::Token { flaw } => match &self.breaker {
                Some(breaker) => broken(answer.await, flaw, breaker),
                None => answer.await,
            },
        }
    }
}

fn cut(cut: Cut) -> Response<Payload> {
    Response::new(Payload::cut(cut))
}

/// Sends a body in pieces. If the wait is released, the rest follows at once.
fn trickled(
    response: Response<Payload>,
    mut wait: Wait,
    alarm: Alarm,
    every: Duration,
    piece: NonZeroUsize,
) -> Response<Payload> {
    response.map(|body| {
        let mut rest = body.into_bytes();
        let len = rest.len();
        let (send, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            while !rest.is_empty() {
                let next = rest.split_to(piece.get().min(rest.len()));
                // The client has gone.
                if send.send(next).await.is_err() {
                    return;
                }
                if !rest.is_empty() && wait.span(&alarm, every).await == Waited::Released {
                    let _ = send.send(rest).await;
                    return;
                }
            }
        });
        Payload::in_pieces(len, pieces)
    })
}

/// Announces the whole body, sends half of it, and ends the connection.
fn truncated(response: Response<Payload>) -> Response<Payload> {
    response.map(|body| {
        let whole = body.into_bytes();
        let (send, pieces) = mpsc::channel(1);
        // The channel has room for the one piece.
        let _ = send.try_send(half(&whole));
        Payload::in_pieces(whole.len(), pieces)
    })
}

/// Sends half of the body as if it were the whole.
fn halved(response: Response<Payload>) -> Response<Payload> {
    response.map(|body| half(&body.into_bytes()).into())
}

fn half(whole: &Bytes) -> Bytes {
    whole.slice(..whole.len() / 2)
}

/// Calls the body a web page.
fn as_page(mut response: Response<Payload>) -> Response<Payload> {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

/// Breaks the token of an answer that carries one.
fn broken(response: Response<Payload>, flaw: Flaw, breaker: &TokenBreaker) -> Response<Payload> {
    response.map(|body| {
        let whole = body.into_bytes();
        with_broken_token(&whole, flaw, breaker).map_or_else(|| whole.into(), Payload::from)
    })
}

fn with_broken_token(body: &[u8], flaw: Flaw, breaker: &TokenBreaker) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let token = answer.get_mut("access_token")?;
    *token = breaker.break_token(token.as_str()?, flaw)?.into();
    serde_json::to_vec(&answer).ok()
}
