//! Replies whose whole body is known in advance.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// A body in one piece.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    bytes: Bytes,
    is_plain: bool,
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self { bytes: bytes.into(), is_plain: false }
    }
}

impl Payload {
    /// Marks the body as one that the surface also gives without hyper, to plain requests.
    #[must_use]
    pub(crate) fn plain(self) -> Self {
        Self { is_plain: true, ..self }
    }

    /// Returns true if the surface answers plain requests like this one without hyper.
    pub(crate) const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Returns its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns its bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// Returns a reply with a JSON body.
pub(crate) fn json_reply(status: StatusCode, body: impl Into<Payload>) -> Response<Payload> {
    reply(status, HeaderValue::from_static("application/json; charset=utf-8"), body.into())
}

/// Returns a reply with plain text.
pub(crate) fn text_reply(status: StatusCode, body: impl Into<Payload>) -> Response<Payload> {
    reply(status, HeaderValue::from_static("text/plain; charset=utf-8"), body.into())
}

/// Returns a reply with the error object of OAuth 2.0 (RFC 6749 section 5.2), which IMDS uses too.
pub(crate) fn json_error(status: StatusCode, error: &str, description: &str) -> Response<Payload> {
    // A string value always serializes.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (error, description) = (quoted(error), quoted(description));
    json_reply(status, format!(r#"{{"error":{error},"error_description":{description}}}"#))
}

fn reply(status: StatusCode, content_type: HeaderValue, body: Payload) -> Response<Payload> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
