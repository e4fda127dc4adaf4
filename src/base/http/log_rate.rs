//! Rate limit of log lines.

/// Number of log lines that may still be written: a burst, and then one line in each period.
#[derive(Debug)]
pub(crate) struct LogRate {
    burst: u64,
    period_s: u64,
    lines: u64,
    /// Last period for which lines were added.
    period: u64,
    left_out: u64,
}

impl LogRate {
    /// Allows `burst` lines at once, and one more every `period_s` seconds.
    pub(crate) const fn new(burst: u64, period_s: u64) -> Self {
        Self { burst, period_s, lines: burst, period: 0, left_out: 0 }
    }

    /// Takes a line and returns the number of lines left out before it. Returns `None` when no line is
    /// allowed.
    pub(crate) fn admit(&mut self, now_ns: u64) -> Option<u64> {
        let period = now_ns / 1_000_000_000 / self.period_s;
        self.lines = self.burst.min(self.lines + period.saturating_sub(self.period));
        self.period = period;
        if self.lines == 0 {
            self.left_out += 1;
            return None;
        }
        self.lines -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_flood_writes_one_line_in_each_period_after_the_burst() {
        for period_s in [1, 10] {
            let mut lines = LogRate::new(1000, period_s);
            let mut written = |period: u64, requests: u64| {
                let now_ns = period * period_s * SECOND_NS;
                (0..requests).filter_map(|_| lines.admit(now_ns)).collect::<Vec<u64>>()
            };
            assert_eq!(written(0, 3000), vec![0; 1000]);
            assert_eq!(written(1, 500), [2000]);
            assert_eq!(written(2, 1), [499]);
            assert_eq!(written(5, 10), [0, 0, 0]);
            assert_eq!(written(10_000, 1), [7]);
            assert_eq!(written(10_000, 2000).len(), 999);
        }
    }
}
