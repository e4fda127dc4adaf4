//! Fields of the document that are more than plain values, and the values of fields that are left out.

use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time span, written as in `1.5s`, `200ms` or `2m`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let span = humantime::parse_duration(&text);
        span.map(Self).map_err(|error| format!("`{text}` is no time: {error}; write 10s or 200ms"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        humantime::format_duration(span.0).to_string()
    }
}

/// Returns the share of a rule for all requests.
pub(super) const fn all() -> f64 {
    1.0
}

/// Returns the time between two pieces: an answer with a token takes about four seconds.
pub(super) const fn every() -> Span {
    Span(Duration::from_millis(100))
}

/// Returns the bytes of a piece.
pub(super) const fn piece() -> NonZeroUsize {
    const PIECE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
    PIECE
}
