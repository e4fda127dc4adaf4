//! Short run of our broker, judged as every run is, so that `run` would give the same verdict.

use crate::harness::document::doctor::{Finding, Level};
use crate::harness::judge::validity::{Headline, Reason, Usable};

/// Result of the trial run.
#[derive(Debug)]
pub struct Trial {
    /// Rate in requests per second.
    pub rate: f64,
    /// Length of the measured part in seconds.
    pub duration_s: f64,
    /// Reasons why the run was invalid; empty if it was valid.
    pub reasons: Vec<Reason>,
}

impl Trial {
    /// Returns the finding about the machine.
    pub fn finding(&self) -> Finding {
        let Self { rate, duration_s, reasons } = self;
        let what = format!("a run of our broker at {rate} requests/s for {duration_s:.1} s");
        match Headline::of(reasons) {
            None => Finding::ok("trial", format!("{what} was valid")),
            Some(Headline { usable, cause, remedy }) => {
                let was = if is_only_disturbed(reasons) { "disturbed" } else { "invalid" };
                let says = format!("{what} was {was}: {}: {cause}", usable.as_str());
                Finding::of("trial", Level::of(usable), says, remedy)
            }
        }
    }
}

/// Returns the verdict on a machine, from its findings and the reasons why runs on it are invalid.
pub fn verdict(findings: &[Finding], reasons: &[Reason]) -> String {
    let warnings = findings.iter().filter(|finding| finding.level == Level::Warn).count();
    match Headline::of(reasons) {
        None if warnings == 0 => "this machine can measure every percentile".to_owned(),
        None => format!(
            "this machine can measure every percentile, within the limits of {warnings} warning(s); a run says itself whether it was valid"
        ),
        Some(Headline { usable: Usable::Nothing, cause, remedy }) if is_only_disturbed(reasons) => {
            format!(
                "nothing that is measured on this machine now is exact: a run gives bounds only, and with --strict it would be invalid: {cause}; {remedy}"
            )
        }
        Some(Headline { usable: Usable::Nothing, cause, remedy }) => format!(
            "nothing that is measured on this machine now would mean anything: {cause}; {remedy}"
        ),
        Some(Headline { usable, cause, remedy }) => format!(
            "this machine can now measure the {} and nothing above, and a run with --strict would be invalid, one without gives bounds of the rest: {cause}; {remedy}",
            usable.names().join(" and the ")
        ),
    }
}

/// Returns true if a run would keep its answer, with wider bounds.
fn is_only_disturbed(reasons: &[Reason]) -> bool {
    reasons.iter().all(Reason::is_disturbance)
}
