//! How a target is spoken to: its URL, its protocol, its requests and its answers.

pub(crate) mod fetch;
pub mod protocol;
pub(crate) mod request;
pub(crate) mod response;
pub mod target;
pub mod trust;
