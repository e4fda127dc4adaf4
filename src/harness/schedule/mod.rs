//! When each request is due, and on which connection it leaves.

pub mod arrivals;
pub mod layout;
mod mixer;
pub mod sampling;
mod stages;
pub mod timeline;
pub mod traffic;
