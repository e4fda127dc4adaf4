//! Results: the folder of a run, its `run.json`, its histograms and its table.

pub mod folder;
mod hgrm;
mod hlog;
pub mod notes;
pub mod run_json;
pub mod slo;
pub mod stored;
pub mod table;
