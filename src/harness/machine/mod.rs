//! The machine that measures: its cores, its settings, and its disturbances.

pub mod cores;
pub mod host;
pub mod stop;
