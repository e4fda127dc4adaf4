//! `/faults`: the faults that the server injects on purpose.

use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode};

use super::worlds::unread;
use crate::base::http::{Payload, json_reply, read_body, text_reply};
use crate::service::faults::{FaultPlan, Faults};

/// Largest plan that is taken, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// Shows (GET), replaces (PUT) or removes (DELETE) the plan.
pub(super) async fn answer(faults: &Faults, method: &Method, body: Incoming) -> Response<Payload> {
    match *method {
        Method::PUT => match read_body(body, BYTES_MAX).await {
            Ok(text) => set(faults, &text),
            Err(error) => unread(error),
        },
        Method::DELETE => {
            faults.clear();
            text_reply(StatusCode::OK, "there are no faults on purpose\n")
        }
        _ => show(faults),
    }
}

fn show(faults: &Faults) -> Response<Payload> {
    let Some(plan) = faults.plan() else {
        return text_reply(StatusCode::NOT_FOUND, "there are no faults on purpose; PUT some\n");
    };
    match serde_json::to_vec(&plan) {
        Ok(json) => json_reply(StatusCode::OK, json),
        Err(_) => text_reply(StatusCode::INTERNAL_SERVER_ERROR, "the plan cannot be written\n"),
    }
}

fn set(faults: &Faults, text: &[u8]) -> Response<Payload> {
    let refused = |status, said: String| text_reply(status, format!("{said}\n"));
    let Ok(text) = std::str::from_utf8(text) else {
        return refused(StatusCode::BAD_REQUEST, "the fault plan is not UTF-8".to_owned());
    };
    let plan = match FaultPlan::parse("the request", text) {
        Ok(plan) => plan,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let count = plan.rules.len();
    match faults.set(plan) {
        Ok(()) => refused(StatusCode::OK, format!("rules in force: {count}")),
        Err(error) => refused(StatusCode::FORBIDDEN, error.to_string()),
    }
}
