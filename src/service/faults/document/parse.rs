//! Reading of the document.

use super::check::faults_of;
use super::plan::FaultPlan;
use crate::base::toml_file;
use crate::base::toml_file::listed;

/// Reason why a text is no fault plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The text is not the JSON of a plan.
    #[error("`{name}` is no fault plan: {source}; docs/faults.md has examples")]
    Json {
        /// Name of the text.
        name: String,
        /// Error of the parser, with line and column.
        source: serde_json::Error,
    },
    /// The plan has faults.
    #[error("the fault plan is refused{}", listed(.0))]
    Faults(Vec<String>),
}

impl FaultPlan {
    /// Parses a plan in TOML, or in JSON if the text begins with `{`. Errors call the text `name`.
    ///
    /// # Errors
    /// Returns all faults of the plan, each with its place and its remedy.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, PlanError> {
        let plan: Self = if text.trim_start().starts_with('{') {
            let failed = |source| PlanError::Json { name: name.to_owned(), source };
            serde_json::from_str(text).map_err(failed)?
        } else {
            let toml_file::Read { value, faults } = toml_file::read(text);
            let Some(plan) = value.filter(|_| faults.is_empty()) else {
                let said = faults.iter().map(|fault| fault.of_file(name));
                return Err(PlanError::Faults(said.collect()));
            };
            plan
        };
        let faults = faults_of(&plan);
        if faults.is_empty() { Ok(plan) } else { Err(PlanError::Faults(faults)) }
    }
}
