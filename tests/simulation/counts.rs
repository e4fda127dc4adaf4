//! Counts of the events of histories.

/// Counts of the events of histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) histories: u64,
    pub(crate) steps: u64,
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) mints: u64,
    pub(crate) failed_mints: u64,
    pub(crate) writes: u64,
    pub(crate) failed_writes: u64,
    pub(crate) rotations: u64,
    pub(crate) crashes: u64,
    pub(crate) clock_steps: u64,
    pub(crate) faults: u64,
}

impl Counts {
    /// Returns true if every event happened.
    pub(crate) fn has_all(&self) -> bool {
        let Self { histories, steps, requests, tokens, mints, failed_mints, .. } = *self;
        let Self { writes, failed_writes, rotations, crashes, clock_steps, faults, .. } = *self;
        let done = [histories, steps, requests, tokens, mints, writes, rotations];
        let failed = [failed_mints, failed_writes, crashes, clock_steps, faults];
        done.iter().chain(&failed).all(|count| *count > 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self { histories, steps, requests, tokens, mints, failed_mints, .. } = other;
        self.histories += histories;
        self.steps += steps;
        self.requests += requests;
        self.tokens += tokens;
        self.mints += mints;
        self.failed_mints += failed_mints;
        self.writes += other.writes;
        self.failed_writes += other.failed_writes;
        self.rotations += other.rotations;
        self.crashes += other.crashes;
        self.clock_steps += other.clock_steps;
        self.faults += other.faults;
    }
}
