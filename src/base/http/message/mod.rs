//! The forms of requests and answers.

mod bearer;
mod body;
mod form;
mod host;
mod pieces;
mod plain;
mod reply;
mod request_ids;

pub(crate) use bearer::bearer_token;
pub(crate) use body::{BodyError, read_body};
pub(crate) use form::{Encoded, pairs};
pub use host::HostNames;
pub(crate) use host::{Host, HostRules, HostSyntax};
pub use pieces::Cut;
pub use plain::PlainRequest;
pub(crate) use plain::{HeaderSpan, Layout, PLAIN_TARGET_BYTES_MAX, Span};
pub use reply::Payload;
pub(crate) use reply::{json_error, json_reply, text_reply};
pub(crate) use request_ids::RequestIds;
