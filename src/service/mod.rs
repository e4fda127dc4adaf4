//! The token broker and everything behind it, as `mintbench serve` runs them.
//!
//! [`server`] assembles the HTTP surfaces ([`imds`], [`sts`], [`arm`], [`vault`], [`admin`]) over
//! [`broker`], [`directory`] and [`world`].

pub mod admin;
pub mod arm;
pub mod broker;
pub mod cache;
pub mod directory;
pub mod imds;
pub mod server;
pub mod source;
pub mod store;
pub mod sts;
pub mod token;
pub mod vault;
pub mod world;
