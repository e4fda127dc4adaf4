//! Requests of a fleet that Azure would refuse because one machine sends too many of them.

use super::fleet_file::Fleet;
use crate::harness::stats::float::float;

/// Identity requests per second that Azure admits from one machine (documentation of the instance metadata
/// service). `serve --throttle azure` has the same limits.
const PER_SECOND: f64 = 20.0;
/// Identity requests of one machine that Azure admits at the same time (FAQ of managed identities).
const CONCURRENT: u64 = 5;

/// Describes the requests that would be answered 429.
pub(crate) fn of_throttle(fleet: &Fleet) -> Vec<String> {
    let rate = rate_of_vm(fleet);
    let mut said = Vec::new();
    if rate > PER_SECOND {
        said.push(format!(
            "each VM asks for {rate:.1}/s, and Azure admits {PER_SECOND:.0}/s of one VM: {:.0} % of its requests would be answered 429 (serve --throttle azure); let its programs cache their tokens.",
            (1.0 - PER_SECOND / rate) * 100.0
        ));
    }
    let tokens = fleet.tokens_each();
    if tokens > CONCURRENT {
        said.push(format!(
            "a VM that boots asks for {tokens} tokens, and Azure admits {CONCURRENT} requests of one VM at the same time and {PER_SECOND:.0} in a second: others would be answered 429 (serve --throttle azure), and their clients would ask again."
        ));
    }
    said
}

/// Returns the mean number of requests per second of one machine.
fn rate_of_vm(fleet: &Fleet) -> f64 {
    let lifetime_s = fleet.callers.token_lifetime.as_secs_f64();
    let sdks = fleet.sdks().into_iter();
    let each: f64 = sdks.map(|(sdk, share)| share / sdk.refresh().after(lifetime_s)).sum();
    fleet.callers.uncached_per_second + each * float(fleet.tokens_each())
}

#[cfg(test)]
mod tests {
    use super::super::fleet_file::tests::parse;
    use super::*;

    fn said(of_fleet: &str) -> String {
        let text = format!("[fleet]\nvms = 10\n{of_fleet}\n[nodes]\ncores = 1\n");
        of_throttle(&parse(&text).unwrap()).join(" ")
    }

    #[test]
    fn a_fleet_below_the_limits_gets_no_sentence() {
        for fleet in ["", "resources = 5", "uncached-per-second = 19.9"] {
            assert_eq!(said(fleet), "");
        }
    }

    #[test]
    fn a_fleet_above_a_limit_is_told_which_one() {
        let programs = said("uncached-per-second = 40.0");
        assert!(programs.contains("each VM asks for 40.0/s"), "{programs}");
        assert!(programs.contains("50 % of its requests"), "{programs}");
        let short = said("identities = 5\nresources = 5\ntoken-lifetime = \"1s\"");
        assert!(short.contains("each VM asks for 25.0/s"), "{short}");
        let boot = said("identities = 2\nresources = 3");
        assert!(boot.contains("a VM that boots asks for 6 tokens"), "{boot}");
        assert!(!boot.contains("each VM asks"), "{boot}");
    }
}
