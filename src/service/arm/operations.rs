//! Long-running writes. They are done when they are answered, so clients ask for their state once.

use hyper::StatusCode;
use hyper::header::{HeaderName, LOCATION, RETRY_AFTER};
use serde_json::json;

use super::date;
use super::error::ArmError;
use super::reply::Reply;
use super::request::call::Call;
use super::version::ResourceType;
use crate::base::ids::SubscriptionId;

const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");

/// Place of an operation: its type, its subscription and its location.
pub(super) type Place<'a> = (&'static ResourceType, SubscriptionId, &'a str);

/// Adds the headers of a write that returns a resource.
pub(super) fn tracked(call: &Call, reply: Reply, place: Place<'_>) -> Reply {
    reply.with(ASYNC_OPERATION, url(call, place)).with(RETRY_AFTER, "0".to_owned())
}

/// Returns the answer to a write that returns nothing.
pub(super) fn accepted(call: &Call, place: Place<'_>) -> Reply {
    let monitor = format!("{}&monitor=true", url(call, place));
    tracked(call, Reply::empty(StatusCode::ACCEPTED), place).with(LOCATION, monitor)
}

fn url(call: &Call, (kind, subscription, location): Place<'_>) -> String {
    format!(
        "{}/subscriptions/{subscription}/providers/{}/locations/{}/operations/{}?api-version={}",
        call.base_url,
        kind.namespace,
        location.replace(' ', ""),
        call.operation,
        call.query.version()
    )
}

/// `GET` of the state of an operation, which is always `Succeeded`. With `monitor` it answers a `Location`
/// URL.
pub(super) fn get(call: &Call, id: &str) -> Result<Reply, ArmError> {
    if uuid::Uuid::try_parse(id).is_err() {
        return Err(ArmError::NoSuchPath);
    }
    if call.query.get("monitor").is_some_and(|monitor| monitor.eq_ignore_ascii_case("true")) {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }
    let now = date::iso(call.now);
    Ok(Reply::ok(json!({"startTime": now, "endTime": now, "status": "Succeeded", "name": id})))
}
