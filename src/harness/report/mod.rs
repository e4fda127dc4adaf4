//! Results: the folder of a run, its `run.json`, its histograms and its table.

mod changes;
pub mod chart;
pub mod compare;
mod conditions;
pub mod folder;
pub mod grid;
mod heading;
pub mod hgrm;
mod hlog;
pub(crate) mod host;
pub mod html;
pub mod merge;
pub mod metrics;
pub mod notes;
pub mod out_folder;
pub(crate) mod phases;
mod quantiles;
pub mod run_json;
pub mod slo;
pub mod stored;
pub mod table;
