//! The first argument of `mintbench run`.

use std::str::FromStr;

use super::scenario::{Scenario, UnknownScenario};
use super::target::{TargetUrl, TargetUrlError};

/// What the first argument names.
#[derive(Clone, Debug)]
pub(in crate::cli) enum What {
    /// A scenario, by its name or file.
    Scenario(Scenario),
    /// A target, by its URL; the scenario is `steady`.
    Target(TargetUrl),
}

/// Why the first argument names nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum WhatError {
    #[error(transparent)]
    Scenario(#[from] UnknownScenario),
    #[error(transparent)]
    Target(#[from] TargetUrlError),
}

impl FromStr for What {
    type Err = WhatError;

    fn from_str(text: &str) -> Result<Self, WhatError> {
        Ok(if text.contains("://") {
            Self::Target(TargetUrl::alone(text)?)
        } else {
            Self::Scenario(text.parse()?)
        })
    }
}
