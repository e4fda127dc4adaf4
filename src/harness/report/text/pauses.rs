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
    Some(format!(
        "the schedule stood still for {percent:.0} % of the time, in which nothing was measured"
    ))
}
