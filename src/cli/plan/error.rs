//! Reasons why there is no plan.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::terminal::PrintError;
use crate::harness::judge::failure::Failure;
use crate::harness::plan::fleet_file::FleetError;
use crate::harness::plan::forecast::Interrupted;
use crate::harness::report::folder::out_folder::OutFolderError;
use crate::harness::report::stored::StoredError;
use crate::harness::scenario::spec::SpecError;
use crate::harness::session::error::SessionError;

/// Reason why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Out(#[from] OutFolderError),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error("cannot write `{path}`; choose another folder with --out", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("`{path}` is a result of `{scenario}`; name folders of `run steady` and `run mint`", path = path.display())]
    Scenario { path: PathBuf, scenario: String },
    #[error("`{path}` is of the scenario file `{file}`; name folders of `run steady` and `run mint`", path = path.display())]
    ScenarioFile { path: PathBuf, file: String },
    #[error("`{path}` is of a broker that was started with `{args}`; a plan is of a broker with no more than --alg: give the --alg of the runs, or measure again", path = path.display())]
    Started { path: PathBuf, args: String },
    #[error("`{path}` is of a run that did not end; measure again", path = path.display())]
    Unfinished { path: PathBuf },
    #[error(
        "no folder of --from is a result of `run {0}`; name one, or leave out --from to measure"
    )]
    Missing(&'static str),
    #[error("`{}` and `{}` are of unlike machines; name folders of one", .0.display(), .1.display())]
    Unlike(PathBuf, PathBuf),
    #[error("--levels-duration is {}; use 100ms to 1h", humantime::format_duration(*.0))]
    LevelsDuration(Duration),
}

/// Reason why a level was not measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("the broker gives wrong answers: {0}")]
    Wrong(Failure),
}

impl MeasureError {
    /// Returns true if the broker failed, and not the attempt to measure it.
    pub(super) const fn blames_broker(&self) -> bool {
        matches!(
            self,
            Self::Wrong(_) | Self::Session(SessionError::Counters(_) | SessionError::Died(_))
        )
    }
}
