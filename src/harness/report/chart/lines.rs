//! Charts of lines and bands between two axes.

use std::fmt::Write;

use super::frame::{TOP, across, escaped, frame, mark, open, up};
use super::scale::Axis;

/// Look of a line. Lines never differ by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Index of the page's colour, 0 to 6. The mark has a different shape for each.
    pub(crate) colour: usize,
    /// Dash pattern of the line.
    pub(crate) dash: Dash,
}

/// Dash pattern of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dash {
    /// Without gaps.
    Solid,
    /// Strokes.
    Strokes,
    /// Dots.
    Dots,
}

impl Dash {
    const fn class(self) -> &'static str {
        match self {
            Self::Solid => "solid",
            Self::Strokes => "strokes",
            Self::Dots => "dots",
        }
    }
}

/// Line through points, with a gap where a point is missing.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Name for the reader of the page and in the legend.
    pub(crate) name: String,
    /// Look of the line.
    pub(crate) look: Look,
    /// Points from left to right.
    pub(crate) points: Vec<Option<(f64, f64)>>,
    /// Values of x at which a mark is drawn.
    pub(crate) marked: Vec<f64>,
}

/// Area between two lines.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    /// Index of the page's colour.
    pub(crate) colour: usize,
    /// Points from left to right: x, lower y, upper y.
    pub(crate) points: Vec<(f64, f64, f64)>,
}

/// Bound that a line should stay below.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// Text beside the bound.
    pub(crate) name: String,
    /// Value of the bound.
    pub(crate) value: f64,
    /// Range in values of x where the bound holds; without it, the whole axis.
    pub(crate) span: Option<(f64, f64)>,
    /// Value of x at which the bound is judged, if there is only one.
    pub(crate) judged_at: Option<f64>,
}

/// Chart of lines.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Id, unique in its page.
    pub(crate) id: String,
    /// Title for screen readers.
    pub(crate) title: String,
    /// Description for screen readers.
    pub(crate) description: String,
    /// Horizontal axis, from left to right.
    pub(crate) x: Axis,
    /// Vertical axis, from bottom to top.
    pub(crate) y: Axis,
    /// Label of the horizontal axis.
    pub(crate) x_label: &'static str,
    /// Label of the vertical axis.
    pub(crate) y_label: &'static str,
    /// Bands, drawn first.
    pub(crate) bands: Vec<Band>,
    /// Lines, drawn over the bands.
    pub(crate) lines: Vec<Line>,
    /// Goals, drawn over the lines.
    pub(crate) goals: Vec<Goal>,
}

/// Height of a line of text, at its size on a phone.
const LABEL: f64 = 20.0;

impl Chart {
    /// Returns the drawing as SVG.
    pub(crate) fn svg(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        open(out, &self.id, [&self.title, &self.description], [&self.x, &self.y])?;
        frame(out, [&self.x, &self.y], [self.x_label, self.y_label])?;
        for band in &self.bands {
            self.band(out, band)?;
        }
        for line in &self.lines {
            self.line(out, line)?;
        }
        self.goals(out)?;
        out.write_str("</svg>")
    }

    /// Draws the bounds with their names. Names of close neighbours stand at different ends.
    fn goals(&self, out: &mut String) -> std::fmt::Result {
        let mut last: Option<(f64, bool)> = None;
        let mut goals: Vec<&Goal> = self.goals.iter().collect();
        goals.sort_by(|a, b| a.value.total_cmp(&b.value));
        for goal in goals {
            let (from, to) = goal.span.unwrap_or((self.x.from, self.x.to));
            let (left, right) = (across(&self.x, from), across(&self.x, to));
            let (at, name) = (up(&self.y, goal.value), escaped(&goal.name));
            let close = last.is_some_and(|(other, at_end)| at_end && (other - at).abs() < LABEL);
            let (x, anchor) = if close { (left + 4.0, "start") } else { (right - 4.0, "end") };
            last = Some((at, !close));
            let y = if at - TOP < LABEL { at + LABEL } else { at - 5.0 };
            write!(
                out,
                "<path class=\"goal\" data-goal=\"{name}\" d=\"M{left:.2} {at:.2}H{right:.2}\"/>\
                 <text class=\"goal\" x=\"{x:.2}\" y=\"{y:.2}\" text-anchor=\"{anchor}\">{name}</text>"
            )?;
            if let Some(judged_at) = goal.judged_at {
                let place = across(&self.x, judged_at);
                write!(
                    out,
                    "<path class=\"goal cross\" d=\"M{place:.2} {at:.2}m-5 -5l10 10m0 -10l-10 10\"/>"
                )?;
            }
        }
        Ok(())
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (across(&self.x, x), up(&self.y, y))
    }

    fn band(&self, out: &mut String, band: &Band) -> std::fmt::Result {
        let lower = band.points.iter().map(|(x, low, _)| self.at((*x, *low)));
        let upper = band.points.iter().rev().map(|(x, _, high)| self.at((*x, *high)));
        let corners: Vec<String> =
            lower.chain(upper).map(|(x, y)| format!("{x:.2} {y:.2}")).collect();
        if corners.is_empty() {
            return Ok(());
        }
        write!(out, "<path class=\"band c{}\" d=\"M{}Z\"/>", band.colour, corners.join("L"))
    }

    fn line(&self, out: &mut String, line: &Line) -> std::fmt::Result {
        let Look { colour, dash } = line.look;
        let dash = dash.class();
        let name = escaped(&line.name);
        let mut path = String::new();
        let mut broken = true;
        for point in &line.points {
            let Some((x, y)) = point.map(|point| self.at(point)) else {
                broken = true;
                continue;
            };
            let step = if broken { 'M' } else { 'L' };
            write!(path, "{step}{x:.2} {y:.2}")?;
            broken = false;
        }
        write!(out, "<path class=\"line c{colour} {dash}\" data-series=\"{name}\" d=\"{path}\"/>")?;
        let is_marked = |x: f64| line.marked.iter().any(|at| (at - x).abs() <= x.abs() * 1e-9);
        for (index, point) in line.points.iter().enumerate() {
            // A point without neighbours has no line, so only a mark makes it visible.
            let alone = !is_point(line, index.wrapping_sub(1)) && !is_point(line, index + 1);
            if let Some(point) = point.filter(|(x, _)| alone || is_marked(*x)) {
                mark(out, colour, self.at(point))?;
            }
        }
        Ok(())
    }
}

fn is_point(line: &Line, index: usize) -> bool {
    line.points.get(index).is_some_and(Option::is_some)
}

/// Returns a piece of line with its mark, for a legend.
pub(crate) fn swatch(look: Look) -> String {
    let (colour, dash) = (look.colour, look.dash.class());
    let mut out = format!(
        "<svg class=\"swatch\" viewBox=\"0 0 34 14\" aria-hidden=\"true\"><path class=\"line c{colour} {dash}\" d=\"M1 7H33\"/>"
    );
    // Writing to a string cannot fail.
    let _ = mark(&mut out, colour, (17.0, 7.0));
    out + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        let line = Line {
            name: "a<b".to_owned(),
            look: Look { colour: 1, dash: Dash::Strokes },
            points: vec![Some((0.0, 1.0)), None, Some((1.0, 10.0)), Some((2.0, 100.0))],
            marked: vec![2.0],
        };
        let chart = Chart {
            id: "x".to_owned(),
            title: "t".to_owned(),
            description: "d".to_owned(),
            x: Axis::seconds(2.0),
            y: Axis::latencies([1.0, 100.0].into_iter()),
            x_label: "time",
            y_label: "latency",
            bands: vec![Band { colour: 1, points: vec![(0.0, 1.0, 2.0), (2.0, 50.0, 100.0)] }],
            lines: vec![line],
            goals: Vec::new(),
        };
        let svg = chart.svg();
        assert!(svg.contains("data-series=\"a&lt;b\""), "{svg}");
        assert!(svg.contains("d=\"M72.00 280.00M306.00 157.00L540.00 34.00\""), "{svg}");
        assert!(svg.contains("d=\"M72.00 280.00L540.00 "), "{svg}");
        assert_eq!(
            svg.matches("class=\"mark").count(),
            2,
            "one that was asked for, one that stands alone"
        );
    }
}
