//! Requests: the caller, the path, the query, the filter and the content.

pub(super) mod auth;
pub(super) mod call;
pub(super) mod content;
pub(super) mod filter;
pub(super) mod route;
