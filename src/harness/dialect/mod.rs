//! How a target is spoken to: its URL, its protocol, its requests and its answers.

mod fetch;
pub mod protocol;
mod request;
mod response;
pub mod target;
pub mod trust;
