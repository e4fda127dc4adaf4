//! The files and the output of a search.

use std::path::PathBuf;

use crate::base::clock::UnixSeconds;
use crate::base::files;
use crate::base::printable;
use crate::cli::exit::Exit;
use crate::cli::run::args::RunArgs;
use crate::cli::run::error::RunError;
use crate::cli::run::prepared::Prepared;
use crate::cli::run::result_paths::laid_out;
use crate::cli::terminal::{PrintError, print};
use crate::harness::dialect::target::Target;
use crate::harness::document::find_max::{Answer, FindMax, Level, Load, SCHEMA};
use crate::harness::find_max::bracket::{Bracket, Terms};
use crate::harness::find_max::summary::Summary;
use crate::harness::find_max::text::render;
use crate::harness::report::folder::Folder;
use crate::harness::report::folder::out_folder::OutFolder;
use crate::harness::report::host::{build, host};
use crate::harness::report::run::load::arrivals;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::stats::intervals::Chance;

/// Name of the file with the answer.
const JSON: &str = "find-max.json";

/// Folder of the answer. If it stays empty, it is removed again.
pub(super) struct Place(OutFolder);

impl Place {
    /// Creates the folder. It must not hold other files.
    pub(super) fn claim(args: &RunArgs, started_at: UnixSeconds) -> Result<Self, RunError> {
        let usual = || Folder::default_path(started_at, "find-max");
        let path = args.out.clone().unwrap_or_else(usual);
        Ok(Self(OutFolder::claim(path, |name| name == JSON)?))
    }

    fn json(&self) -> PathBuf {
        self.0.path().join(JSON)
    }
}

/// Search that has ended.
pub(super) struct Found<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    /// Plan of the first level.
    pub(super) plan: &'a RunPlan,
    pub(super) target: Target,
    pub(super) started_at: UnixSeconds,
    pub(super) terms: Terms,
    /// Share of the time that the hypervisor took from this machine during the search.
    pub(super) steal_share: f64,
}

impl Found<'_> {
    /// Writes and prints the answer.
    pub(super) fn publish(
        &self,
        place: &Place,
        bracket: &Bracket,
        levels: Vec<Level>,
        notes: Vec<String>,
    ) -> Result<Exit, RunError> {
        let document = self.document(bracket, levels, notes);
        let (json, path) = (printable::json(&document).map_err(PrintError::from)?, place.json());
        let written = files::replace(&path, files::PLAIN, json.as_bytes());
        written.map_err(|source| RunError::Write { path: path.clone(), source })?;
        if self.prepared.args.json {
            print(&json)?;
        } else {
            print(&laid_out(&format!("{}results   {}\n", render(&document), path.display())))?;
        }
        Ok(exit(document.answer))
    }

    fn document(&self, bracket: &Bracket, levels: Vec<Level>, notes: Vec<String>) -> FindMax {
        let Self { prepared, target, started_at, terms, .. } = self;
        let spec = &prepared.spec;
        let objectives: Vec<String> = spec.objectives.iter().map(ToString::to_string).collect();
        let summary = Summary::of(bracket, &levels, &objectives.join(" and "));
        FindMax {
            schema: SCHEMA.to_owned(),
            started_at: started_at.rfc3339(),
            scenario: spec.scenario.as_str().to_owned(),
            target: target.to_string(),
            seed: prepared.args.seed,
            objectives,
            answer: summary.answer,
            met: summary.met,
            missed: summary.missed,
            open: summary.open,
            unsent: summary.unsent,
            within: prepared.args.search.within.0,
            tries: terms.tries,
            chance: Chance::USUAL.of_one_in(terms.deciding()).probability(),
            load: self.load(),
            levels,
            sentences: summary.sentences,
            notes,
            build: build(),
            host: host(self.steal_share),
        }
    }

    fn load(&self) -> Load {
        let Self { prepared, plan, terms, .. } = self;
        Load {
            arrivals: arrivals(&plan.workload).0.to_owned(),
            connections: plan.connections.into(),
            warmup_s: prepared.spec.warmup.as_secs_f64(),
            rate_first: terms.start,
            rate_max: terms.rate_max,
        }
    }
}

const fn exit(answer: Answer) -> Exit {
    match answer {
        Answer::Bracket => Exit::Pass,
        Answer::AtLeast | Answer::Below => Exit::Inconclusive,
        Answer::Unknown => Exit::Invalid,
    }
}
