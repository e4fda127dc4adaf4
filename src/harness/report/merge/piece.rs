//! The results that are merged, and their alignment.

use std::path::Path;

use super::error::MergeError;
use crate::harness::document::run::Run;
use crate::harness::report::stored::Stored;

/// Seconds that are added to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// The first seconds of all parts, the second ones, and so on, whenever they were.
    Index,
    /// Seconds of the same time: the parts ran together, on machines with clocks that agree.
    Time,
}

impl Align {
    /// Returns the name in files.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Time => "time",
        }
    }
}

/// Result to merge.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) stored: Stored,
    pub(super) run: Run,
}

impl Piece {
    pub(super) fn read(path: &Path) -> Result<Self, MergeError> {
        let mut stored = Stored::read(path)?;
        let run = stored.run.take().ok_or_else(|| MergeError::Unfinished(path.to_owned()))?;
        Ok(Self { stored, run })
    }
}
