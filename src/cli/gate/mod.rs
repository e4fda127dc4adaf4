//! `mintbench gate`: compares the speed or the work of a candidate build with that of a base.

mod args;
mod builds;
mod count;
mod count_args;
mod error;
mod files;
mod legs;
mod revision;
mod settings;
mod version;

use std::sync::Arc;

pub(super) use self::args::GateArgs;
use self::builds::{BuildError, Builds};
use self::count::GateCountError;
use self::error::LegError;
use self::files::FileError;
use self::legs::Legs;
use self::settings::{GateSettings, GateSettingsError};
use super::exit::{Exit, refuse};
use super::signals;
use super::terminal::{PrintError, Stream};
use crate::base::clock::{Clock, SystemClock};
use crate::harness::gate::baseline::BaselineError;
use crate::harness::gate::document;
use crate::harness::gate::document::Identity;
use crate::harness::gate::judge::Verdict;
use crate::harness::gate::text;
use crate::harness::machine::stop::Stop;
use crate::harness::report::run::load::of_leg;
use crate::harness::scenario::spec::Resolved;

/// Reasons why a gate has no verdict.
#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Count(#[from] GateCountError),
    #[error(transparent)]
    Leg(#[from] LegError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Settings(#[from] GateSettingsError),
    #[error("the gate was interrupted")]
    Interrupted { known: String },
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl GateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Baseline(_) => Exit::NoBaseline,
            _ => Exit::Usage,
        }
    }
}

/// Runs the command.
pub(super) fn main(args: &GateArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    signals::listen(Arc::clone(&stop));
    let result = run(args, &SystemClock, &stop);
    let consequence = "there is no verdict, and no file was written";
    match result {
        Err(GateError::Interrupted { known }) => {
            // Standard output gets whole JSON or nothing.
            let out = if args.json { Stream::Error } else { Stream::Output };
            signals::interrupted_after(&known, out, consequence)
        }
        // Failures after the interruption are caused by it.
        Err(_) if stop.is_requested() => signals::interrupted(consequence),
        Err(error) => {
            refuse(&error);
            error.exit()
        }
        Ok(verdict) => exit(verdict),
    }
}

const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Fail => Exit::Failed,
        Verdict::Invalid => Exit::Invalid,
        Verdict::Pass => Exit::Pass,
    }
}

fn run(args: &GateArgs, clock: &dyn Clock, stop: &Arc<Stop>) -> Result<Verdict, GateError> {
    if args.count.count {
        return Ok(count::run(args, clock, stop)?);
    }
    let baseline = settings::baseline(args)?;
    let GateSettings { spec, policy, notes } = GateSettings::resolve(args, baseline.as_ref())?;
    let _folder = files::check(args)?;
    let Resolved { plan, notes: of_runs, .. } = legs::resolve(&spec, 0)?;
    let Builds { base, candidate } = Builds::find(args, baseline, stop)?;
    let started_at = clock.now();
    let legs = Legs { spec: &spec, base: &base, candidate: &candidate, clock, stop };
    let measured = legs.measure(&policy)?;
    if stop.is_requested() {
        let known = text::so_far(measured.pairs.len(), &measured.findings);
        return Err(GateError::Interrupted { known });
    }
    let identity = Identity {
        started_at,
        scenario: spec.scenario.as_str().to_owned(),
        seed: spec.seed,
        base: base.name,
        candidate: candidate.name,
        notes: [of_runs, notes].concat(),
    };
    let document =
        document::document(identity, of_leg(&plan), &policy, &measured.pairs, &measured.findings);
    files::write(args, &document, &measured.pairs)?;
    files::print(args, &document)?;
    Ok(document.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_the_exit_code_that_the_help_states() {
        let codes = [
            (Verdict::Pass, 0),
            (Verdict::Fail, 1),
            (Verdict::Inconclusive, 3),
            (Verdict::Invalid, 4),
        ];
        for (verdict, code) in codes {
            assert_eq!(exit(verdict) as i32, code, "{verdict:?}");
        }
    }
}
