//! The token broker and everything behind it, as `mintbench serve` runs them.
//!
//! `server` assembles the HTTP surfaces ([`imds`], `sts`, `arm`, `vault`, `admin`) over [`broker`],
//! [`directory`] and [`world`]. Arrows point down, and modules of one line never name each other:
//!
//! - `server`: sockets, threads, periodic tasks
//! - [`imds`], `sts`, `arm`, `vault`, `admin`: one surface each
//! - `faults`
//! - [`broker`], `source`
//! - [`cache`]
//! - [`directory`]
//! - [`token`], [`store`]
//! - [`world`]: records and pure rules

pub(crate) mod admin;
pub(crate) mod arm;
pub mod broker;
pub mod cache;
pub mod directory;
pub(crate) mod faults;
pub mod imds;
pub(crate) mod server;
pub(crate) mod source;
pub mod store;
pub(crate) mod sts;
pub mod token;
pub(crate) mod vault;
pub mod world;
