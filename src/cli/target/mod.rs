//! Targets other than a broker of our own, from flags, variables and files.

mod args;
mod error;
pub(super) mod hints;
mod resolve;
mod url;

pub(super) use self::args::TargetArgs;
pub(super) use self::error::TargetError;
pub(super) use self::resolve::check_selectors;
pub(super) use self::url::{TargetUrl, TargetUrlError};

#[cfg(test)]
mod tests;
