//! Reading of whole request bodies.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};

/// Reason why a request's body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection was closed early, or the body is framed wrongly.
    #[error("the body of the request ended early")]
    Broken,
    /// The body is longer than this surface allows.
    #[error("the body of the request is longer than {0} bytes")]
    TooLarge(usize),
}

/// Reads the whole body of a request, at most `max_bytes`.
///
/// # Errors
/// Returns `TooLarge` as soon as the length is known, and `Broken` when the body ends early.
pub(crate) async fn read_body(mut body: Incoming, max_bytes: usize) -> Result<Bytes, BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_bytes {
        return Err(BodyError::TooLarge(max_bytes));
    }
    let mut read = BytesMut::with_capacity(announced);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if read.len() + data.len() > max_bytes {
            return Err(BodyError::TooLarge(max_bytes));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
