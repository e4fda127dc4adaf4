//! When each request is due, and on which connection it leaves.

pub mod arrivals;
pub mod layout;
pub mod pacing;
