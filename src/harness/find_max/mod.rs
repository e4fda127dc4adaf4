//! The highest rate at which a target meets its objectives.
//!
//! A [`level`] is one measurement at one rate, with a verdict of three values. The search in [`bracket`] chooses the
//! rates. [`summary`] puts the answer together, and [`text`] shows it.

pub(crate) mod bracket;
pub(crate) mod level;
pub(crate) mod summary;
pub(crate) mod text;
