//! Estimates with their intervals, one below the other, against a limit.

use std::fmt::Write;

use super::{Axis, LEFT, RIGHT, Scale, across, escaped};

/// One estimate.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// What it is of.
    pub name: String,
    /// The best guess.
    pub value: f64,
    /// Its interval; an end that is unknown reaches to the edge.
    pub interval: [Option<f64>; 2],
    /// Drawn as a line across the estimate's row.
    pub limit: f64,
    /// Which of the page's colours.
    pub colour: usize,
}

/// The chart.
#[derive(Clone, Debug)]
pub struct Forest {
    /// Unique in its page.
    pub id: String,
    /// What it shows, for who cannot see it.
    pub title: String,
    /// What there is to see in it.
    pub description: String,
    /// Of all estimates.
    pub x: Axis,
    /// What x is.
    pub x_label: String,
    /// From top to bottom.
    pub estimates: Vec<Estimate>,
}

/// A name above, the interval below.
const ROW: f64 = 48.0;
const TOP: f64 = 12.0;
const FOOT: f64 = 52.0;
/// Names stand above their rows, so that the rows need less room at the left than a chart.
const BEGIN: f64 = LEFT - 40.0;

impl Forest {
    /// The drawing.
    pub fn svg(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn at(&self, value: f64) -> f64 {
        // `across` begins where charts do; a forest begins further left.
        BEGIN + (across(&self.x, value) - LEFT) * (RIGHT - BEGIN) / (RIGHT - LEFT)
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { id, x, .. } = self;
        let bottom = TOP + ROW * super::scale::float(self.estimates.len() as u64);
        let (width, height) = (super::WIDTH, bottom + FOOT);
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
        super::mark(out, colour, (self.at(estimate.value), middle))
    }
}
