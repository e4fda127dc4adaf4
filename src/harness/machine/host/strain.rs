//! Disturbance of this process by the machine over a stretch of time.

use std::fs::read_to_string;

use super::CpuTicks;
use super::cgroup::Cgroup;
use crate::harness::nanos::Nanos;

/// Counters at one moment. Two of them make a [`Strain`].
#[derive(Clone, Copy, Debug, Default)]
pub struct StrainCounters {
    ticks: CpuTicks,
    throttled: Nanos,
    paging: Paging,
}

/// Memory of this process that was not in RAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Memory in swap, in KiB.
    pub swapped_kib: u64,
}

/// Disturbance between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strain {
    /// Share of the machine's time that the hypervisor took away.
    pub steal_share: f64,
    /// Share of the time that the control group was stopped because its quota was used up.
    pub throttled_share: f64,
    /// Page faults during that time, and the growth of the memory in swap.
    pub paging: Paging,
}

impl StrainCounters {
    /// Reads the counters; zero where the system does not tell.
    pub fn read() -> Self {
        Self {
            ticks: CpuTicks::read(),
            throttled: Nanos::new(Cgroup::of_self().throttled_ns()),
            paging: Paging::read(),
        }
    }

    /// Returns the disturbance since `earlier`, which was read `elapsed` ago.
    pub fn since(&self, earlier: &Self, elapsed: Nanos) -> Strain {
        let throttled = self.throttled.saturating_sub(earlier.throttled);
        let (now, before) = (self.paging, earlier.paging);
        Strain {
            steal_share: self.ticks.steal_share_since(&earlier.ticks),
            throttled_share: throttled.as_f64() / elapsed.max(Nanos::new(1)).as_f64(),
            paging: Paging {
                major_faults: now.major_faults.saturating_sub(before.major_faults),
                swapped_kib: now.swapped_kib.saturating_sub(before.swapped_kib),
            },
        }
    }
}

impl Paging {
    fn read() -> Self {
        let swapped = super::kib("/proc/self/status", "VmSwap");
        let stat = read_to_string("/proc/self/stat").ok();
        Self {
            major_faults: stat.and_then(|text| major_faults(&text)).unwrap_or(0),
            swapped_kib: swapped.unwrap_or(0),
        }
    }
}

/// Returns field 12 of `/proc/PID/stat` (proc(5)). Field 2, the name of the program, may hold
/// blanks.
fn major_faults(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_faults_are_the_twelfth_field_whatever_the_program_is_called() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 500 0 7 0 1 2 0 0 20 0 1 0 99";
        assert_eq!(major_faults(stat), Some(7));
        assert_eq!(major_faults("nonsense"), None);
    }

    #[test]
    fn strain_is_what_was_added_meanwhile() {
        let paging = |major_faults, swapped_kib| Paging { major_faults, swapped_kib };
        let earlier = StrainCounters {
            throttled: Nanos::from_micros(5),
            paging: paging(2, 100),
            ..StrainCounters::default()
        };
        let later = StrainCounters {
            throttled: Nanos::from_micros(15),
            paging: paging(5, 40),
            ..StrainCounters::default()
        };
        let strain = later.since(&earlier, Nanos::from_millis(1));
        assert!((strain.throttled_share - 0.01).abs() < 1e-12);
        // Less memory in swap than before counts as no swapping.
        assert_eq!(strain.paging, paging(3, 0));
    }
}
