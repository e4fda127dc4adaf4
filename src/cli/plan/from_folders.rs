//! A calibration from result folders, without running any load.

use std::path::Path;

use super::args::{ALG, PlanArgs};
use super::calibration::Calibration;
use super::error::PlanError;
use crate::harness::document::run::load::Load;
use crate::harness::plan::level::Level;
use crate::harness::plan::search::judge;
use crate::harness::report::stored::Stored;

/// Checks that a run measured the kind of broker that a plan of `alg` is about, as far as the run states
/// it.
fn repeatable(path: &Path, load: &Load, alg: Option<&str>) -> Result<(), PlanError> {
    if let Some(file) = load.scenario_file.clone() {
        return Err(PlanError::ScenarioFile { path: path.to_owned(), file });
    }
    let args = load.serve_args.as_deref().unwrap_or_default();
    let found = match args {
        [] => return Ok(()),
        [flag, found] if flag == "--alg" => Some(found.as_str()),
        _ => None,
    };
    if found == Some(alg.unwrap_or(ALG)) {
        return Ok(());
    }
    Err(PlanError::Started { path: path.to_owned(), args: args.join(" ") })
}

/// Reads the folders of `--from`: `steady` runs measure hits, `mint` runs measure mints.
pub(super) fn calibration(args: &PlanArgs) -> Result<Calibration, PlanError> {
    let (mut hits, mut mints) = (Vec::new(), Vec::new());
    let mut first = None;
    for path in &args.from {
        let stored = Stored::read(path)?;
        let Some(run) = &stored.run else {
            return Err(PlanError::Unfinished { path: path.clone() });
        };
        let (named, machine) = first.get_or_insert_with(|| (path, run.host.fingerprint.clone()));
        if *machine != run.host.fingerprint {
            return Err(PlanError::Unlike(named.clone(), path.clone()));
        }
        let level = Level::of_stored(&stored, run, &args.slo);
        repeatable(path, &run.load, args.alg.as_deref())?;
        match run.scenario.as_str() {
            "mint" => mints.push(level),
            "steady" => hits.push(level),
            _ => {
                let (path, scenario) = (path.clone(), run.scenario.clone());
                return Err(PlanError::Scenario { path, scenario });
            }
        }
    }
    for (scenario, levels) in [("steady", &hits), ("mint", &mints)] {
        if levels.is_empty() {
            return Err(PlanError::Missing(scenario));
        }
    }
    let terms = args.terms(1.0, f64::MAX);
    let notes = vec!["the calibration is of result folders: rates between theirs were not tried, and their costs hold for the machine and the algorithm of those runs".to_owned()];
    Ok(Calibration::new(judge(terms, hits), judge(terms, mints), args.seed, notes))
}
