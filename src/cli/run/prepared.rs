//! A run that is ready to begin: its definition is checked, its files are read, and nothing is started.

use std::sync::Arc;

use super::args::RunArgs;
use super::error::RunError;
use crate::cli::sources::variables::RUN_VARIABLES;
use crate::cli::target::{TargetUrl, check_selectors, hints};
use crate::cli::terminal::say;
use crate::harness::dialect::target::Target;
use crate::harness::machine::host::is_in_memory;
use crate::harness::machine::stop::Stop;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::spec::{ProcessLimits, Resolved, RunSpec};
use crate::harness::session::subject::Subject;

/// Run that is ready to begin.
pub(super) struct Prepared<'a> {
    pub(super) args: &'a RunArgs,
    /// Definition from the scenario and the flags.
    pub(super) spec: RunSpec,
    /// Foreign target; none for a broker of our own.
    target: Option<Target>,
    limits: ProcessLimits,
}

impl<'a> Prepared<'a> {
    /// Checks the flags, and reads the files that they name.
    pub(super) fn of(args: &'a RunArgs) -> Result<Self, RunError> {
        let (scenario, target) = args.subject()?;
        let spec = args.spec(scenario, target.as_ref())?;
        let mut prepared = Self { args, spec, target: None, limits: ProcessLimits::of_process() };
        prepared.attempt(0)?;
        prepared.target = target.map(|target| resolved(args, &target)).transpose()?;
        Ok(prepared)
    }

    /// Returns the definition and the plan of an attempt, numbered from 0. Attempts differ in the seed of their
    /// requests, but share the seed of the world, which may be that of a running target.
    pub(super) fn attempt(&self, number: u32) -> Result<(RunSpec, Resolved), RunError> {
        let seed = self.args.seed.wrapping_add(number.into());
        let spec = RunSpec { seed, ..self.spec.clone() };
        let spec = self.args.until_requests(spec, &self.limits)?;
        let resolved = self.resolve(&spec)?;
        Ok((spec, resolved))
    }

    /// Returns the plan of a definition, with the world of the first attempt.
    pub(super) fn resolve(&self, spec: &RunSpec) -> Result<Resolved, RunError> {
        let mut resolved = spec.resolve(&self.limits)?;
        resolved.plan.world.seed = self.args.seed;
        Ok(resolved)
    }

    /// Starts our own broker, or returns the foreign target.
    pub(super) fn start(&self, plan: &RunPlan, stop: &Arc<Stop>) -> Result<Subject, RunError> {
        Ok(match &self.target {
            None => Subject::start(plan, &self.spec.extra_serve_args, stop)?,
            Some(target) => {
                Subject::Foreign { target: target.clone(), jwks: self.args.jwks.clone() }
            }
        })
    }
}

fn resolved(args: &RunArgs, target: &TargetUrl) -> Result<Target, RunError> {
    let jwks = args.jwks.as_ref();
    args.access.check(&[target], jwks)?;
    let target = args.access.resolve(target, jwks, &RUN_VARIABLES)?;
    check_selectors(target.dialect.protocol(), args.user_assigned)?;
    Ok(target)
}

/// Returns the notes that are known before the load, and shows the hints among them.
pub(super) fn notes_before(subject: &Subject) -> Vec<String> {
    let mut notes = Vec::new();
    if subject.data().is_some_and(is_in_memory) {
        notes.push("the broker kept its world in memory: acknowledgements of changes hold no wait for a disk; name a folder on one with TMPDIR".to_owned());
    }
    let hints = hints::before(&subject.target());
    for hint in &hints {
        say(format_args!("note      {hint}"));
    }
    notes.extend(hints);
    notes
}
