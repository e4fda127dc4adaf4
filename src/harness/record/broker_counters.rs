//! The broker's own counters, as its admin endpoint reports them (Prometheus text format).

/// The broker's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Tokens served from the cache.
    pub hits: f64,
    /// Requests that started a mint.
    pub misses: f64,
    /// Requests that waited for the mint of another request.
    pub coalesced: f64,
    /// Tokens minted, renewals included.
    pub mints: f64,
    /// Mints that failed, renewals included.
    pub mint_failures: f64,
    /// Tokens renewed in the background.
    pub refreshes: f64,
    /// CPU time used, in seconds.
    pub cpu_seconds: f64,
    /// Memory in use, in bytes.
    pub rss_bytes: f64,
}

impl Counters {
    pub(crate) fn parse(text: &str) -> Self {
        let mut counters = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // A series with labels adds to the sum of its name.
            let name_end = line.find(['{', ' ']).unwrap_or(line.len());
            let (name, rest) = line.split_at(name_end);
            let value = rest.rsplit('}').next().unwrap_or(rest).split_whitespace().next();
            let Some(value) = value.and_then(|value| value.parse::<f64>().ok()) else { continue };
            match name {
                "mintbench_cache_hits_total" => counters.hits += value,
                "mintbench_cache_misses_total" => counters.misses += value,
                "mintbench_cache_coalesced_total" => counters.coalesced += value,
                "mintbench_mints_total" => counters.mints += value,
                "mintbench_mint_failures_total" => counters.mint_failures += value,
                "mintbench_refreshes_total" => counters.refreshes += value,
                "process_cpu_seconds_total" => counters.cpu_seconds += value,
                "process_resident_memory_bytes" => counters.rss_bytes = value,
                _ => {}
            }
        }
        counters
    }

    /// Returns the counts since `earlier`, with the present memory in use.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            hits: self.hits - earlier.hits,
            misses: self.misses - earlier.misses,
            coalesced: self.coalesced - earlier.coalesced,
            mints: self.mints - earlier.mints,
            mint_failures: self.mint_failures - earlier.mint_failures,
            refreshes: self.refreshes - earlier.refreshes,
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            rss_bytes: self.rss_bytes,
        }
    }

    /// Returns the requests that the cache saw.
    pub fn lookups(&self) -> f64 {
        self.hits + self.misses + self.coalesced
    }

    /// Returns the tokens minted for callers, without background renewals.
    pub fn foreground_mints(&self) -> f64 {
        self.mints - self.refreshes
    }

    /// Returns the CPU time per request in microseconds, if there were requests.
    pub fn cpu_us_per_request(&self) -> Option<f64> {
        (self.lookups() > 0.0).then(|| self.cpu_seconds * 1e6 / self.lookups())
    }

    /// Returns the share of lookups that started a mint. Requests that wait for the same token
    /// start one mint together.
    pub fn mint_ratio(&self) -> Option<f64> {
        (self.lookups() > 0.0).then(|| self.misses / self.lookups())
    }

    /// Returns the share of lookups that were hits, if there were any.
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.lookups() > 0.0).then(|| self.hits / self.lookups())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_and_the_rest_is_ignored() {
        let text = "# HELP x y\nmintbench_cache_hits_total 5\nmintbench_mints_total{alg=\"RS256\"} 2\n\
                    mintbench_mints_total{alg=\"ES256\"} 1 1700000000\nother 9\nbroken\n\
                    process_cpu_seconds_total 0.25\nmintbench_cache_misses_total 5\n";
        let counters = Counters::parse(text);
        assert_eq!((counters.hits, counters.mints, counters.misses), (5.0, 3.0, 5.0));
        assert_eq!(counters.cpu_us_per_request(), Some(25_000.0));
        assert_eq!(counters.hit_ratio(), Some(0.5));
        let waited = Counters { coalesced: 10.0, ..counters };
        assert_eq!(waited.mint_ratio(), Some(0.25));
        assert_eq!(counters.since(&counters).cpu_us_per_request(), None);
    }
}

/// The broker's own counts.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Counts from the start of the measured part to the end of the last request. None if the
    /// counters could not be read at that start.
    pub measured: Option<Counters>,
    /// Counts from before the load to the end, warm-up included.
    pub whole: Counters,
    /// Anonymous memory of the broker's process at the end in bytes, if the system reports it.
    pub anonymous_bytes: Option<u64>,
}
