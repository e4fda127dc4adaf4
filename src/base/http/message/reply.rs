//! Replies whose whole body is known in advance.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::pieces::{Cut, Pieces};

/// A body whose length is known.
#[derive(Debug, Default)]
pub struct Payload {
    bytes: Bytes,
    delivery: Delivery,
}

/// Delivery of a body to its client.
#[derive(Debug, Default)]
enum Delivery {
    /// In one piece.
    #[default]
    Whole,
    /// Likewise, and the surface also gives such bodies without hyper.
    Plain,
    /// Piece by piece.
    Pieces(Box<Pieces>),
    /// Not at all: the connection ends without an answer.
    Cut(Cut),
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self { bytes: bytes.into(), delivery: Delivery::Whole }
    }
}

impl Payload {
    /// Marks the body as one that the surface also gives without hyper, to plain requests.
    #[must_use]
    pub(crate) fn plain(self) -> Self {
        Self { delivery: Delivery::Plain, ..self }
    }

    /// Returns true if the surface answers plain requests like this one without hyper.
    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self.delivery, Delivery::Plain)
    }

    /// Returns a body of `len` bytes that arrives in these pieces. If they end early, so does the connection.
    pub(crate) fn in_pieces(len: usize, pieces: mpsc::Receiver<Bytes>) -> Self {
        let delivery = Delivery::Pieces(Box::new(Pieces::new(len, pieces)));
        Self { bytes: Bytes::new(), delivery }
    }

    /// Returns what ends the connection in place of an answer.
    pub(crate) const fn cut(cut: Cut) -> Self {
        Self { bytes: Bytes::new(), delivery: Delivery::Cut(cut) }
    }

    /// Returns how the connection ends in place of an answer, if it does.
    pub(crate) const fn as_cut(&self) -> Option<Cut> {
        match self.delivery {
            Delivery::Cut(cut) => Some(cut),
            _ => None,
        }
    }

    /// Returns the number of its bytes that are in memory, which is 0 if they arrive in pieces.
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
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Delivery::Pieces(pieces) = &mut self.delivery {
            return pieces.poll(context).map(|piece| piece.map(|piece| piece.map(Frame::data)));
        }
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.delivery {
            Delivery::Pieces(pieces) => pieces.left(),
            _ => self.bytes.len(),
        } as u64)
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
