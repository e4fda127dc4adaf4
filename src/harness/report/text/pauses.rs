//! Lines about the pauses of the schedule, in the results of a run and of a search.

use crate::harness::document::run::load::Load;

/// Share of the measured part above which pauses are said in the first lines: the stalls of the target
/// that fall into them are not seen.
const PAUSED_MAX: f64 = 0.05;

/// Returns the share of a measured part in which the schedule stood still; none if nobody knows.
pub(crate) fn share(paused_s: Option<f64>, duration_s: f64) -> Option<f64> {
    paused_s.map(|paused_s| paused_s / duration_s)
}

/// Returns the share if it is so large that the first lines have to say it.
pub(crate) fn long(share: Option<f64>) -> Option<f64> {
    share.filter(|share| *share > PAUSED_MAX)
}

/// Returns a sentence about the levels of a search with long pauses, if there are any. `shares` are those of all
/// levels.
pub(crate) fn of_levels(shares: impl IntoIterator<Item = Option<f64>>) -> Option<String> {
    let shares: Vec<Option<f64>> = shares.into_iter().collect();
    let paused: Vec<f64> = shares.iter().filter_map(|share| long(*share)).collect();
    let most = paused.iter().copied().reduce(f64::max)?;
    Some(format!(
        "at {} of {} levels the schedule paused for more than {:.0} % of the time, for up to {:.0} %: nothing was sent meanwhile, and stalls of the target were not seen",
        paused.len(),
        shares.len(),
        100.0 * PAUSED_MAX,
        100.0 * most
    ))
}

fn of_load(load: &Load) -> Option<f64> {
    share(load.paused_s, load.duration_s)
}

/// Returns the line for the counts.
pub(super) fn line(load: &Load) -> Option<String> {
    let (paused_s, share) = (load.paused_s?, of_load(load).filter(|share| *share > 0.0)?);
    let percent = 100.0 * share;
    Some(format!(
        "paused    {paused_s:.2} s ({percent:.1} %): the generator was stopped, not by the target"
    ))
}

/// Returns the line for the head of the results, if the pauses are long.
pub(in crate::harness::report) fn headline(load: &Load) -> Option<String> {
    let percent = 100.0 * long(of_load(load))?;
    Some(format!("for {percent:.0} % of the time nothing was sent: the generator was stopped"))
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
        let expected = "paused    1.00 s (5.0 %): the generator was stopped, not by the target";
        assert_eq!(short.unwrap(), expected);
        assert_eq!(first, None);
        let first = said(Some(2.0)).1.unwrap();
        assert_eq!(first, "for 10 % of the time nothing was sent: the generator was stopped");
        // With its label it fits into 80 columns.
        let whole = said(Some(20.0)).1.unwrap();
        assert!("PAUSED    ".len() + whole.chars().count() <= 80, "{whole}");
    }

    #[test]
    fn only_levels_that_paused_for_long_are_counted() {
        assert_eq!(of_levels([None, Some(0.0), share(Some(0.5), 10.0)]), None);
        let said = of_levels([None, Some(0.06), Some(0.05), share(Some(1.2), 10.0)]).unwrap();
        let expected =
            "at 2 of 4 levels the schedule paused for more than 5 % of the time, for up to 12 %: ";
        assert!(said.starts_with(expected), "{said}");
    }
}
