//! `mintbench gate --count`: compares the work of two builds for a request.

mod files;
mod settings;

use std::path::Path;
use std::sync::Arc;

use self::settings::CountSettingsError;
use super::args::GateArgs;
use super::builds::{BuildError, Counted};
use super::files::FileError;
use crate::base::clock::Clock;
use crate::cli::progress::Progress;
use crate::cli::terminal::PrintError;
use crate::harness::document::gate::Verdict;
use crate::harness::gate::count::allowance::Allowances;
use crate::harness::gate::count::counting::{CountError, Counting, Counts};
use crate::harness::gate::count::document::{self, Failures, Identity, Sides};
use crate::harness::gate::count::server::Kind;
use crate::harness::gate::count::valgrind::{self, ValgrindError};
use crate::harness::gate::leg::Side;
use crate::harness::machine::stop::Stop;

/// Reasons why a gate that counts has no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateCountError {
    #[error(transparent)]
    Settings(#[from] CountSettingsError),
    #[error(transparent)]
    Valgrind(#[from] ValgrindError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("the {} could not be counted", side.as_str())]
    Count { side: Side, source: CountError },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Counts both builds, and writes the verdict.
pub(super) fn run(
    args: &GateArgs,
    clock: &dyn Clock,
    stop: &Arc<Stop>,
) -> Result<Verdict, GateCountError> {
    let kind = settings::kind(&args.count)?;
    let counter = valgrind::version()?;
    let _folder = files::check(args)?;
    let builds = Counted::find(args, &kind, stop)?;
    let started_at = clock.now();
    let programs = [builds.base.program.as_path(), builds.candidate.program.as_path()];
    let (sides, failures) = measure(args.count.counts, &kind, programs, stop)?;
    let identity = Identity {
        started_at,
        base: builds.base.name,
        candidate: builds.candidate.name,
        counter,
        command: args.count.command.clone(),
    };
    let allowances = Allowances::with(&args.count.allow);
    let document = document::document(identity, &sides, &allowances, &failures);
    files::write(args, &document)?;
    files::print(args, &document)?;
    Ok(document.verdict)
}

/// Counts `counts` processes of each build, or fewer if one fails its checks.
fn measure(
    counts: u8,
    kind: &Kind,
    programs: [&Path; 2],
    stop: &Arc<Stop>,
) -> Result<(Sides, Failures), GateCountError> {
    let (mut sides, mut failures) = (Sides::default(), Failures::default());
    let progress = Progress::start();
    for number in 1..=counts {
        progress.step(format!("count {number} of {counts}"));
        let [base, candidate] = both(kind, programs, stop);
        keep(Side::Base, base, &mut sides.base, &mut failures.base)?;
        keep(Side::Candidate, candidate, &mut sides.candidate, &mut failures.candidate)?;
        if !(failures.base.is_empty() && failures.candidate.is_empty()) {
            break;
        }
    }
    Ok((sides, failures))
}

/// Counts a process of each build, at the same time: no load of the machine changes a count.
fn both(
    kind: &Kind,
    [base, candidate]: [&Path; 2],
    stop: &Arc<Stop>,
) -> [Result<Counts, CountError>; 2] {
    std::thread::scope(|scope| {
        let counting = |program| Counting { kind, program, stop };
        let base = scope.spawn(move || counting(base).count());
        let candidate = counting(candidate).count();
        let base = base.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        [base, candidate]
    })
}

/// Keeps the counts of a side, or its failure to answer.
fn keep(
    side: Side,
    counted: Result<Counts, CountError>,
    counts: &mut Vec<Counts>,
    failures: &mut Vec<String>,
) -> Result<(), GateCountError> {
    match counted {
        Ok(counted) => counts.push(counted),
        Err(source) if source.is_of_server() => failures.push(causes(&source)),
        Err(source) => return Err(GateCountError::Count { side, source }),
    }
    Ok(())
}

/// Returns an error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
