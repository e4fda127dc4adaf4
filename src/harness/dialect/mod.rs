//! Dialects of targets: URLs, protocols, requests and answers.

pub mod fetch;
pub mod outcome;
pub mod protocol;
pub mod request;
pub mod response;
mod stamp;
pub mod target;
pub mod transport;
pub mod trust;
pub mod url;
