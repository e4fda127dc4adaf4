//! A forest plot: estimates with their intervals, one below the other, against their limits.

use std::fmt::Write;

use super::frame::{LEFT, RIGHT, WIDTH, across, escaped, mark};
use super::scale::{Axis, Scale};
use crate::harness::stats::float::float;

/// Estimate with its interval.
#[derive(Clone, Debug)]
pub(crate) struct Estimate {
    /// Name of the estimated quantity.
    pub(crate) name: String,
    /// Best estimate.
    pub(crate) value: f64,
    /// Interval of the estimate. An unknown end reaches to the edge.
    pub(crate) interval: [Option<f64>; 2],
    /// Limit, drawn as a line across the estimate's row.
    pub(crate) limit: f64,
    /// Index of the page's colour.
    pub(crate) colour: usize,
}

/// Forest plot.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    /// Id, unique in its page.
    pub(crate) id: String,
    /// Title for screen readers.
    pub(crate) title: String,
    /// Description for screen readers.
    pub(crate) description: String,
    /// Horizontal axis of all estimates.
    pub(crate) x: Axis,
    /// Label of the horizontal axis.
    pub(crate) x_label: String,
    /// Estimates from top to bottom.
    pub(crate) estimates: Vec<Estimate>,
}

/// Height of a row: the name above, the interval below.
const ROW: f64 = 48.0;
const TOP: f64 = 12.0;
const FOOT: f64 = 52.0;
/// Left end of the axis. Names stand above their rows, so the rows need less room at the left than a
/// chart.
const BEGIN: f64 = LEFT - 40.0;

impl Forest {
    /// Returns the drawing as SVG.
    pub(crate) fn svg(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn at(&self, value: f64) -> f64 {
        // `across` starts where charts do; a forest plot starts further left.
        BEGIN + (across(&self.x, value) - LEFT) * (RIGHT - BEGIN) / (RIGHT - LEFT)
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { id, x, .. } = self;
        let bottom = TOP + ROW * float(self.estimates.len() as u64);
        let (width, height) = (WIDTH, bottom + FOOT);
        let scale = if x.scale == Scale::Log { "log" } else { "linear" };
        write!(
            out,
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" \
             data-x=\"{scale} {} {} {BEGIN} {RIGHT}\"><title id=\"{id}-title\">{}</title><desc id=\"{id}-desc\">{}</desc>",
            x.from,
            x.to,
            escaped(&self.title),
            escaped(&self.description)
        )?;
        for (value, label) in x.ticks() {
            let (at, below) = (self.at(value), bottom + 20.0);
            write!(out, "<path class=\"rule\" d=\"M{at:.2} {TOP}V{bottom}\"/>")?;
            write!(
                out,
                "<text class=\"tick\" x=\"{at:.2}\" y=\"{below}\" text-anchor=\"middle\" data-value=\"{value}\">{label}</text>"
            )?;
        }
        let (middle, below) = (f64::midpoint(BEGIN, RIGHT), height - 8.0);
        write!(out, "<path class=\"axis\" d=\"M{BEGIN} {bottom}H{RIGHT}\"/>")?;
        write!(
            out,
            "<text class=\"label\" x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
            escaped(&self.x_label)
        )?;
        let mut top = TOP;
        for estimate in &self.estimates {
            self.row(out, estimate, top)?;
            top += ROW;
        }
        out.write_str("</svg>")
    }

    fn row(&self, out: &mut String, estimate: &Estimate, top: f64) -> std::fmt::Result {
        let (name_at, middle, foot) = (top + 16.0, top + 32.0, top + ROW - 4.0);
        let [low, high] = estimate.interval;
        let (low, high) =
            (low.map_or(BEGIN, |low| self.at(low)), high.map_or(RIGHT, |high| self.at(high)));
        let (colour, limit) = (estimate.colour, self.at(estimate.limit));
        let name = escaped(&estimate.name);
        write!(out, "<text x=\"{BEGIN}\" y=\"{name_at}\">{name}</text>")?;
        write!(out, "<path class=\"line c6 dots\" d=\"M{limit:.2} {name_at}V{foot}\"/>")?;
        write!(
            out,
            "<path class=\"line c{colour} solid\" data-series=\"{name}\" d=\"M{low:.2} {middle}L{high:.2} {middle}\"/>"
        )?;
        mark(out, colour, (self.at(estimate.value), middle))
    }
}
