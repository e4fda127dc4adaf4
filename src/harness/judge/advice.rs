//! Advice in messages, adapted to the load of a run.
//!
//! Reasons and verdicts advise to change `--rate` and `--duration`. A load without these flags needs other advice.

use crate::harness::scenario::phases::Timing;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::workload::Workload;

/// Means by which a user changes the load of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controls {
    /// By `--rate` and `--duration`.
    Flags,
    /// By the number of bursts and of their callers.
    Herds,
    /// By the phases of the scenario file.
    Phases,
    /// By `--duration`, and by the profile in the scenario file.
    Profile,
    /// By the speed and the length of the recording.
    Replay,
}

impl Controls {
    /// Returns the way to change the load of a plan.
    pub(crate) fn of(plan: &RunPlan) -> Self {
        let phases = match &plan.workload {
            Workload::Herd(_) => return Self::Herds,
            Workload::Phases(phases) => phases.phases.as_slice(),
        };
        match phases {
            [only] if only.level().is_some() => Self::Flags,
            [only] if matches!(only.timing, Timing::Replay { .. }) => Self::Replay,
            [_] => Self::Profile,
            _ => Self::Phases,
        }
    }

    /// Returns the message with advice that a user of this load can follow.
    pub(crate) fn advise(self, message: &str) -> String {
        let mut message = message.to_owned();
        for (flags, own) in self.terms() {
            if message.contains(flags) {
                message = message.replace(flags, own);
            }
        }
        message
    }

    /// Returns advice about flags, with the advice in its place. Longer texts come before their parts.
    const fn terms(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Flags => &[],
            Self::Herds => &[
                ("raise --rate or --duration", "raise --herds"),
                ("raise --duration or --rate", "raise --herds"),
                ("raise --duration", "raise --herds"),
                ("lower --rate", "lower --callers"),
            ],
            Self::Phases => &[
                (
                    "raise --rate or --duration",
                    "raise the rates of the phases, or make them longer",
                ),
                (
                    "raise --duration or --rate",
                    "raise the rates of the phases, or make them longer",
                ),
                ("raise --duration", "make the phases longer"),
                ("a longer --duration tells", "longer phases tell"),
                ("lower --rate", "lower the rates of the phases"),
            ],
            Self::Profile => &[
                ("raise --rate or --duration", "raise --duration"),
                ("raise --duration or --rate", "raise --duration"),
                ("lower --rate", "lower the rates of the scenario"),
            ],
            Self::Replay => &[
                ("raise --rate or --duration", "replay a longer trace"),
                ("raise --duration or --rate", "replay a longer trace"),
                ("raise --duration", "replay a longer trace"),
                ("a longer --duration tells", "a longer trace tells"),
                ("lower --rate", "lower --speed"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_without_a_rate_gets_advice_that_can_be_followed() {
        let slower = "the generator was late; lower --rate or raise --threads";
        let longer = "cannot tell; raise --duration or --rate";
        for (controls, [expected_slower, expected_longer]) in [
            (Controls::Flags, ["lower --rate or raise", "raise --duration or --rate"]),
            (Controls::Herds, ["lower --callers or raise", "raise --herds"]),
            (Controls::Phases, ["lower the rates of the phases or raise", "make them longer"]),
            (Controls::Profile, ["lower the rates of the scenario or raise", "raise --duration"]),
            (Controls::Replay, ["lower --speed or raise", "replay a longer trace"]),
        ] {
            let [slower, longer] = [slower, longer].map(|message| controls.advise(message));
            assert!(slower.contains(expected_slower), "{slower}");
            assert!(longer.ends_with(expected_longer), "{longer}");
            let refused = controls != Controls::Flags
                && [slower, longer].iter().any(|message| message.contains("--rate"));
            assert!(!refused, "{controls:?}");
        }
    }
}
