//! Tests of pages for users: their commands run in order, in a shell, against real servers.

#![expect(clippy::unwrap_used, reason = "a test")]

mod guide;
mod server;
mod shell;
mod walkthrough;
