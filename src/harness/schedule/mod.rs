//! Due time and connection of each request.

pub mod arrivals;
pub mod layout;
mod mixer;
pub mod pauses;
pub mod sampling;
mod stages;
pub mod timeline;
pub mod traffic;
