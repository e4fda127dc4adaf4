//! Charts as SVG: lines, bands and heat maps between two axes.
//!
//! An `svg` element carries its axes as attributes (`data-x`, `data-y`: the scale, the end values and
//! their places). With these, a reader of the page can turn places back into values.

pub(crate) mod forest;
mod frame;
pub(crate) mod heat;
mod lines;
pub(crate) mod scale;

pub(crate) use self::lines::{Band, Chart, Dash, Goal, Line, Look, swatch};
