//! The HTTP server that all surfaces share, and the forms of requests and answers.
//!
//! HTTP/1.1 only. A surface identifies the caller once for each connection and then answers requests.
//!
//! - [`serve`] accepts connections, within the limits of [`ConnectionLimits`].
//! - `connection` reads requests and writes answers, plain or over TLS. hyper does both, except for the plain
//!   requests that a surface answers itself.
//! - `limits` counts connections and unsent bytes, and closes connections at their limits.
//! - `message` parses hosts, forms and tokens, and builds answers.

mod connection;
mod limits;
mod listen;
mod log_rate;
mod message;
mod refusals;
mod responses;
mod serve;
mod surface;
#[cfg(any(test, fuzzing))]
mod testing;

pub use connection::Transport;
pub use limits::{ConnectionLimiter, ConnectionLimits};
pub(crate) use limits::{Count, LEAVING_MAX, Tally};
pub(crate) use listen::{BindError, Reach, bind, bind_all_loopback, bind_group};
pub(crate) use log_rate::LogRate;
pub(crate) use message::{
    BodyError, Encoded, Host, HostRules, HostSyntax, PLAIN_TARGET_BYTES_MAX, RequestIds,
    bearer_token, json_error, json_reply, pairs, read_body, text_reply,
};
pub use message::{Cut, HostNames, Payload, PlainRequest};
pub(crate) use refusals::give_reason;
pub use responses::Responses;
pub use serve::{serve, serve_stream};
pub use surface::{
    ANSWER_BYTES, LaterAnswer, Peer, PlainAnswer, Scheme, Shutdown, Surface, Written,
};
#[cfg(any(test, fuzzing))]
pub(crate) use testing::without_dates;
