//! The kernel's account of how long a generator thread waited for its core.

use std::path::Path;

use crate::harness::machine::scheduling::CoreTimeFile;
use crate::harness::nanos::Nanos;

/// Waits of the calling thread. Without the kernel's account there is no evidence, so nothing counts.
#[derive(Debug, Default)]
pub(in crate::harness::driver) struct OwnCore {
    file: Option<CoreTimeFile>,
    /// Wait of the thread since it began, at the last reading.
    waited: Nanos,
}

/// Smallest share of a gap that the wait has to explain, in hundredths. The rest is the way from the
/// core to the reading of the clock, and ticks.
const EXPLAINED_MIN: u64 = 80;

impl OwnCore {
    /// Opens the account of the calling thread.
    pub(in crate::harness::driver) fn of_this_thread(proc: &Path) -> Self {
        let file = CoreTimeFile::of_this_thread(proc).ok();
        let mut core = Self { file, waited: Nanos::ZERO };
        core.refresh();
        core
    }

    /// Forgets all waits until now. Called often, so that short waits do not add up to evidence.
    pub(in crate::harness::driver) fn refresh(&mut self) {
        self.waited_since();
    }

    /// Returns true if the thread waited for its core during most of a gap of this length, which has
    /// just ended.
    pub(in crate::harness::driver) fn explains(&mut self, gap: Nanos) -> bool {
        self.waited_since().saturating_mul(100) >= gap.saturating_mul(EXPLAINED_MIN)
    }

    fn waited_since(&mut self) -> Nanos {
        let Some(now) = self.file.as_ref().and_then(CoreTimeFile::read) else {
            return Nanos::ZERO;
        };
        let before = std::mem::replace(&mut self.waited, now.waited);
        now.waited.saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn only_a_wait_of_most_of_the_gap_is_evidence() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("thread-self/schedstat");
        create_dir_all(file.parent().unwrap()).unwrap();
        let waited = |micros: u64| write(&file, format!("9 {} 1\n", micros * 1000)).unwrap();
        let gap = Nanos::from_micros(1_000);
        waited(5_000);
        let mut core = OwnCore::of_this_thread(root.path());
        assert!(!core.explains(gap), "the wait was before");
        waited(5_800);
        assert!(core.explains(gap));
        assert!(!core.explains(gap), "the wait is used up");
        waited(6_599);
        assert!(!core.explains(gap));
        waited(7_000);
        core.refresh();
        waited(7_500);
        assert!(!core.explains(gap));
    }

    #[test]
    fn without_an_account_nothing_is_explained() {
        let root = tempfile::tempdir().unwrap();
        let mut core = OwnCore::of_this_thread(root.path());
        assert!(!core.explains(Nanos::from_micros(300)));
    }
}
