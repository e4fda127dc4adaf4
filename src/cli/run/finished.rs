//! A finished run before its result is written.

use rand::TryRng;
use rand::rngs::SysRng;

use super::args::RunArgs;
use super::error::RunError;
use super::result_paths;
use crate::base::clock::UnixSeconds;
use crate::base::printable;
use crate::cli::exit::{Exit, print_error};
use crate::cli::target::hints;
use crate::cli::terminal::{PrintError, print};
use crate::harness::dialect::target::Target;
use crate::harness::document::run::Run;
use crate::harness::document::run::attempts::{Attempt, Attempts};
use crate::harness::judge::decision::left_open;
use crate::harness::judge::notes;
use crate::harness::judge::objective::{Verdict, judged};
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::{Asked, Rule, Ruling};
use crate::harness::report::folder::Folder;
use crate::harness::report::run as document;
use crate::harness::report::run::Identity;
use crate::harness::report::text::table;
use crate::harness::report::text::table::Heading;
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::spec::RunSpec;
use crate::harness::stats::intervals::Chance;

/// Finished run before its result is written.
pub(super) struct Finished<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) spec: RunSpec,
    pub(super) plan: RunPlan,
    pub(super) target: Target,
    pub(super) started_at: UnixSeconds,
    pub(super) outcome: Outcome,
    pub(super) notes: Vec<String>,
}

impl Finished<'_> {
    /// Returns the entry of this run in the list of attempts.
    pub(super) fn attempt(&self, number: u32) -> Attempt {
        let (outcome, asked) = (&self.outcome, self.asked());
        let response_us = document::whole(outcome).response_us;
        Attempt {
            number,
            started_at: self.started_at.rfc3339(),
            seed: self.spec.seed,
            exit_code: match outcome.measured.cut {
                Some(_) => Exit::Interrupted,
                None => exit(outcome, asked),
            } as u8,
            p50_us: response_us.p50,
            p99_us: response_us.p99,
            slo: document::judged(asked, outcome),
            left_open: left_open(asked, outcome),
        }
    }

    /// Writes the result folder and the other files, and prints the result.
    pub(super) fn publish(
        mut self,
        folder: &Folder,
        attempts: Option<Attempts>,
    ) -> Result<Exit, RunError> {
        let notes = notes::of(&self.plan, &self.outcome, self.asked());
        self.notes.extend(notes);
        self.notes.extend(hints::after(&self.target, &self.outcome));
        let identity = self.identity(attempts);
        let Self { args, plan, outcome, .. } = &self;
        let asked = self.asked();
        let document = document::document(identity, plan, outcome, asked);
        let table = self.table(&document);
        folder.complete(outcome, &document)?;
        let written = args.outputs.write(folder.path());
        let text = if args.json {
            printable::json(&document).map_err(PrintError::from)?
        } else {
            let paths = result_paths::lines(folder.path(), outcome.measured.cut);
            result_paths::laid_out(&(table + &paths))
        };
        print(&text)?;
        let verdict = exit(outcome, asked);
        match written.map_err(RunError::Written) {
            // A problem of the run outranks a problem of a file beside it.
            Err(error) if verdict != Exit::Pass => {
                print_error(&error);
                Ok(verdict)
            }
            written => written.map(|()| verdict),
        }
    }

    fn table(&self, document: &Run) -> String {
        let scenario = self.spec.scenario.as_str();
        let heading = Heading { scenario, target: &self.target, plan: &self.plan };
        table::render(&heading, document, &self.outcome, self.asked())
    }

    fn asked(&self) -> Asked<'_> {
        self.args.asked(&self.spec.objectives, self.args.attempts())
    }

    fn identity(&self, attempts: Option<Attempts>) -> Identity {
        let Self { spec, plan, started_at, .. } = self;
        let mut random = [0; 16];
        // Without randomness the start time still tells runs apart.
        if SysRng.try_fill_bytes(&mut random).is_err() {
            random = u128::from(started_at.0).to_be_bytes();
        }
        Identity {
            run_id: uuid::Builder::from_random_bytes(random).into_uuid().to_string(),
            started_at: *started_at,
            scenario: spec.scenario.as_str().to_owned(),
            seed: spec.seed,
            target: self.target.clone(),
            scenario_file: spec.scenario.file_name(),
            serve_args: [plan.workload.serve_args(), &spec.extra_serve_args].concat(),
            notes: self.notes.clone(),
            attempts,
        }
    }
}

impl RunArgs {
    /// Returns how a run is judged: by the chosen rule, with a share of the usual chance of an error.
    pub(super) fn asked<'a>(&self, objectives: &'a [Objective], statements: u32) -> Asked<'a> {
        let rule = if self.strict { Rule::Strict } else { Rule::Bounds };
        Asked { rule, chance: Chance::USUAL.of_one_in(statements), objectives }
    }
}

/// Returns the exit code.
///
/// The first that applies decides: a failed check, a run that says nothing, a missed objective, an
/// objective that nobody can tell.
pub(super) fn exit(outcome: &Outcome, asked: Asked<'_>) -> Exit {
    let verdicts: Vec<Verdict> =
        judged(asked, outcome).map(|(_, judgement)| judgement.verdict).collect();
    if !outcome.failures.is_empty() {
        Exit::Failed
    } else if !Ruling::of(asked.rule, outcome).reasons.is_empty() {
        Exit::Invalid
    } else if verdicts.contains(&Verdict::Missed) {
        Exit::SloBreached
    } else if verdicts.contains(&Verdict::Inconclusive) {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}
