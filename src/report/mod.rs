//! Results: the folder of a run, its `run.json`, its histograms and its table.

mod changes;
mod conditions;
pub mod folder;
pub mod hgrm;
mod hlog;
pub mod notes;
pub(crate) mod phases;
pub mod run_json;
pub mod slo;
pub mod stored;
pub mod table;
