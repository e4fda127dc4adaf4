//! Results: the folder of a run, its `run.json`, its histograms and its table.

mod chart;
pub(crate) mod compare;
pub(crate) mod folder;
pub(crate) mod host;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod merge;
pub(crate) mod metrics;
mod quantiles;
pub(crate) mod run;
pub mod stored;
pub(crate) mod text;
