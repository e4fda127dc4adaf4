//! Results before a plan is complete, for a user who interrupts it.

use std::fmt::Write;

use crate::harness::plan::level::{Level, Verdict};

/// Levels measured so far.
#[derive(Debug, Default)]
pub(super) struct InterimResults {
    searches: Vec<Search>,
}

/// Search for the highest rate of hits, mints or the mix.
#[derive(Debug)]
struct Search {
    name: String,
    levels: u32,
    met: Option<f64>,
    missed: Option<f64>,
}

impl InterimResults {
    /// Adds a level of the search `name`.
    pub(super) fn add(&mut self, name: &str, level: &Level, limit_ns: f64) {
        if self.searches.last().is_none_or(|last| last.name != name) {
            let name = name.to_owned();
            self.searches.push(Search { name, levels: 0, met: None, missed: None });
        }
        let Some(search) = self.searches.last_mut() else { return };
        search.levels += 1;
        let rate = level.offered;
        match level.verdict(limit_ns) {
            Verdict::Met => search.met = Some(search.met.map_or(rate, |met| met.max(rate))),
            Verdict::Missed(_) => {
                search.missed = Some(search.missed.map_or(rate, |missed| missed.min(rate)));
            }
            Verdict::Undecided => {}
        }
    }

    /// Returns one line for each search.
    pub(super) fn text(&self, slo: &str) -> String {
        let mut text = String::new();
        let or_none =
            |rate: Option<f64>| rate.map_or("none".to_owned(), |rate| format!("{rate:.0}/s"));
        for Search { name, levels, met, missed } in &self.searches {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{name}: {levels} levels measured; highest rate within {slo}: {}; lowest rate beyond: {}",
                or_none(*met),
                or_none(*missed)
            );
        }
        if text.is_empty() { "no level was measured\n".to_owned() } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::plan::level::tests::level;

    #[test]
    fn the_rates_around_the_limit_are_known_before_a_search_ends() {
        let mut known = InterimResults::default();
        assert_eq!(known.text("p99<2ms"), "no level was measured\n");
        for (rate, ns) in [(100.0, 1e5), (400.0, 9e6), (200.0, 1e5), (300.0, 9e6)] {
            known.add("hits", &level(rate, ns), 2e6);
        }
        known.add("mints", &level(50.0, 9e6), 2e6);
        assert_eq!(
            known.text("p99<2ms"),
            "hits: 4 levels measured; highest rate within p99<2ms: 200/s; lowest rate beyond: 300/s\n\
             mints: 1 levels measured; highest rate within p99<2ms: none; lowest rate beyond: 50/s\n"
        );
    }
}
