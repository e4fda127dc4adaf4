//! Line of the undisturbed view, in the terminal output of a run.

use crate::base::clock::readable_us;
use crate::harness::document::run::Run;
use crate::harness::document::run::undisturbed::Undisturbance;

/// Returns the line of the class with the most answers.
pub(super) fn line(run: &Run) -> Option<String> {
    let most = run.classes.iter().filter(|(class, _)| !class.is_failure());
    let (class, _) = most.max_by_key(|(_, of)| of.count)?;
    let of = run.undisturbed.as_ref()?.classes.get(class)?;
    match (&of.kept, &of.note) {
        (Some(kept), _) => Some(format!("quiet     {}", figures(class.as_str(), kept))),
        (None, Some(note)) => Some(format!("quiet     no undisturbed figures: {note}")),
        (None, None) => None,
    }
}

fn figures(class: &str, kept: &Undisturbance) -> String {
    let [p50, p99] = [kept.response_us.p50, kept.response_us.p99].map(readable_us);
    let interval = kept.p99_interval_us.map(|ends| ends.map(readable_us));
    let interval = interval.map_or(String::new(), |[low, high]| format!(" ({low} to {high})"));
    let percent = 100.0 * kept.share;
    format!("undisturbed, {percent:.0} % of {class}: p50 {p50}, p99 {p99}{interval}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::document::extra::Extra;
    use crate::harness::document::run::undisturbed::UndisturbedPercentiles;

    #[test]
    fn the_line_names_the_share_and_the_interval() {
        let response_us =
            UndisturbedPercentiles { p50: 61.2, p90: 88.0, p99: 240.0, p999: Some(400.0) };
        let kept = Undisturbance {
            count: 10,
            share: 0.778,
            guard_us: 250.0,
            response_us,
            lower_us: response_us,
            p99_interval_us: Some([230.0, 1_100.0]),
            extra: Extra::new(),
        };
        let line = figures("hit", &kept);
        assert_eq!(line, "undisturbed, 78 % of hit: p50 61.2 us, p99 240 us (230 us to 1.10 ms)");
        let short = Undisturbance { p99_interval_us: None, ..kept };
        assert!(figures("hit", &short).ends_with("p99 240 us"));
    }
}
