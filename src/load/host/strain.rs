//! What the machine did to this process over a stretch of time.

use std::fs::read_to_string;

use super::CpuTicks;
use super::cgroup::Cgroup;

/// Counters at one moment; two of them make a [`Strain`].
#[derive(Clone, Copy, Debug, Default)]
pub struct StrainCounters {
    ticks: CpuTicks,
    throttled_ns: u64,
    paging: Paging,
}

/// Memory of this process that was not where it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Memory in swap, in KiB.
    pub swapped_kib: u64,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strain {
    /// The share of the machine's time that the hypervisor took away.
    pub steal_share: f64,
    /// The share of the time that the control group was stopped because its quota was used up.
    pub throttled_share: f64,
    /// Faults meanwhile, and how much more is in swap.
    pub paging: Paging,
}

impl StrainCounters {
    /// Reads them; zero where the system does not tell.
    pub fn read() -> Self {
        Self {
            ticks: CpuTicks::read(),
            throttled_ns: Cgroup::of_self().throttled_ns(),
            paging: Paging::read(),
        }
    }

    /// What happened since `earlier`, `elapsed_ns` ago.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    pub fn since(&self, earlier: &Self, elapsed_ns: u64) -> Strain {
        let throttled_ns = self.throttled_ns.saturating_sub(earlier.throttled_ns);
        let (now, before) = (self.paging, earlier.paging);
        Strain {
            steal_share: self.ticks.steal_share_since(&earlier.ticks),
            throttled_share: throttled_ns as f64 / elapsed_ns.max(1) as f64,
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

/// Field 12 of `/proc/PID/stat` (proc(5)); the second, the name of the program, may hold blanks.
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
            throttled_ns: 5_000,
            paging: paging(2, 100),
            ..StrainCounters::default()
        };
        let later = StrainCounters {
            throttled_ns: 15_000,
            paging: paging(5, 40),
            ..StrainCounters::default()
        };
        let strain = later.since(&earlier, 1_000_000);
        assert!((strain.throttled_share - 0.01).abs() < 1e-12);
        // Less in swap than before is no swapping out.
        assert_eq!(strain.paging, paging(3, 0));
    }
}
