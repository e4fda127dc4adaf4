//! `/metadata/scheduledevents`: the list of planned events, which is always empty here.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;

use super::endpoint::Imds;
use super::error::ImdsError;
use super::query::Query;
use super::versions;
use crate::base::http::{Payload, json_reply, read_body};
use crate::service::directory::Caller;
use crate::service::world::Category;

/// Longest accepted body. An acknowledgement of all events of one machine is shorter.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Document that a machine reads. Its incarnation grows with each change, and there is never one.
const NOTHING_PLANNED: &str = r#"{"DocumentIncarnation":1,"Events":[]}"#;

/// An acknowledgement: the machine allows the planned event to start at once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Acknowledgement {
    start_requests: Vec<StartRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartRequest {
    event_id: String,
}

impl Imds {
    /// Answers `GET`.
    pub(super) fn events(
        &self,
        caller: &Caller,
        query: &Query<'_>,
    ) -> Result<Response<Payload>, ImdsError> {
        versions::require_events(query)?;
        query.refuse_repeats()?;
        self.vm(caller, Category::Metadata)?;
        Ok(json_reply(StatusCode::OK, NOTHING_PLANNED.to_owned()))
    }

    /// Answers `POST`. No event exists, so every acknowledgement of an event is refused.
    pub(super) async fn acknowledge(
        &self,
        caller: &Caller,
        request: Request<Incoming>,
    ) -> Result<Response<Payload>, ImdsError> {
        let (head, body) = request.into_parts();
        self.events(caller, &Query::parse(head.uri.query().unwrap_or_default())?)?;
        let body = read_body(body, BODY_BYTES_MAX).await?;
        match acknowledged(&body)?.start_requests.into_iter().next() {
            Some(request) => Err(ImdsError::EventUnknown(request.event_id)),
            None => Ok(Response::new(Payload::default())),
        }
    }
}

fn acknowledged(body: &[u8]) -> Result<Acknowledgement, ImdsError> {
    serde_json::from_slice(body).map_err(|_| ImdsError::Acknowledgement)
}
