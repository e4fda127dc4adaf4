//! How a target is spoken to: its URL, its protocol, its requests and its answers.

pub mod fetch;
pub mod outcome;
pub mod protocol;
pub mod request;
pub mod response;
pub mod target;
pub mod transport;
pub mod trust;
pub mod url;
