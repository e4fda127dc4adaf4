//! Revisions and formats of a store.

use std::fmt;

/// Number of changes since the store was created; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Format of the stored records. A build reads its own format and older ones, and commits in its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(pub u64);

impl Format {
    /// Format that this build writes. It increases when an older build would misread a record.
    pub const CURRENT: Self = Self(3);
    /// First format that stores the addresses of former VMs, and an address for every VM that is called.
    pub const ADDRESSES: Self = Self(2);
    /// Oldest format that this build reads. Format 1 stored no addresses of former VMs, and a single VM
    /// needed no address.
    pub const OLDEST: Self = Self(1);
}
