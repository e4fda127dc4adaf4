//! Lines about the pauses of the schedule, in the terminal output of a run.

use crate::harness::document::run::load::Load;

/// Share of the measured part above which pauses are said in the first lines: the stalls of the target
/// that fall into them are not seen.
const PAUSED_MAX: f64 = 0.05;

/// Returns the share of the measured part in which the schedule stood still, if it did.
fn share(load: &Load) -> Option<f64> {
    load.paused_s.filter(|paused| *paused > 0.0).map(|paused| paused / load.duration_s)
}

/// Returns the line for the counts.
pub(super) fn line(load: &Load) -> Option<String> {
    let (paused_s, percent) = (load.paused_s?, 100.0 * share(load)?);
    Some(format!("paused    {paused_s:.2} s ({percent:.1} %): the generator had no core"))
}

/// Returns the line for the head of the results, if the pauses are long.
pub(in crate::harness::report) fn headline(load: &Load) -> Option<String> {
    let percent = 100.0 * share(load).filter(|share| *share > PAUSED_MAX)?;
    Some(format!("for {percent:.0} % of the time the generator had no core: nothing was sent"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::document::extra::Extra;

    fn load(paused_s: Option<f64>) -> Load {
        Load {
            arrivals: "poisson".to_owned(),
            rate_target: None,
            rate_achieved: None,
            rate_answered: 1.0,
            paused_s,
            scheduled: 1,
            duration_s: 20.0,
            warmup_s: 0.0,
            connections: 1,
            vms: 1,
            user_assigned: 0,
            threads: 1,
            reconnects: 0,
            keys: None,
            keys_filled: None,
            scenario_file: None,
            serve_args: None,
            target_address: None,
            target_other_addresses: None,
            insecure: None,
            extra: Extra::new(),
        }
    }

    #[test]
    fn pauses_are_said_and_long_ones_first() {
        let said = |paused_s| (line(&load(paused_s)), headline(&load(paused_s)));
        assert_eq!(said(None), (None, None));
        assert_eq!(said(Some(0.0)), (None, None));
        let (short, first) = said(Some(1.0));
        assert_eq!(short.unwrap(), "paused    1.00 s (5.0 %): the generator had no core");
        assert_eq!(first, None);
        let first = said(Some(2.0)).1.unwrap();
        assert_eq!(first, "for 10 % of the time the generator had no core: nothing was sent");
    }
}
