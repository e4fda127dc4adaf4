//! Charts as SVG: lines, bands and heat maps between two axes.
//!
//! An `svg` element carries its axes as attributes (`data-x`, `data-y`: the scale, the end values and
//! their places). With these, a reader of the page can turn places back into values.

pub mod forest;
pub mod heat;
pub mod scale;

use std::fmt::Write;

pub use self::scale::{Axis, Scale};

/// Look of a line. Lines never differ by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Index of the page's colour, 0 to 6. The mark has a different shape for each.
    pub colour: usize,
    /// Dash pattern of the line.
    pub dash: Dash,
}

/// Dash pattern of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
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
pub struct Line {
    /// Name for the reader of the page and in the legend.
    pub name: String,
    /// Look of the line.
    pub look: Look,
    /// Points from left to right.
    pub points: Vec<Option<(f64, f64)>>,
    /// Values of x at which a mark is drawn.
    pub marked: Vec<f64>,
}

/// Area between two lines.
#[derive(Clone, Debug)]
pub struct Band {
    /// Index of the page's colour.
    pub colour: usize,
    /// Points from left to right: x, lower y, upper y.
    pub points: Vec<(f64, f64, f64)>,
}

/// Bound that a line should stay below.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Text beside the bound.
    pub name: String,
    /// Value of the bound.
    pub value: f64,
    /// Range in values of x where the bound holds; without it, the whole axis.
    pub span: Option<(f64, f64)>,
    /// Value of x at which the bound is judged, if there is only one.
    pub judged_at: Option<f64>,
}

/// Chart of lines.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Id, unique in its page.
    pub id: String,
    /// Title for screen readers.
    pub title: String,
    /// Description for screen readers.
    pub description: String,
    /// Horizontal axis, from left to right.
    pub x: Axis,
    /// Vertical axis, from bottom to top.
    pub y: Axis,
    /// Label of the horizontal axis.
    pub x_label: &'static str,
    /// Label of the vertical axis.
    pub y_label: &'static str,
    /// Bands, drawn first.
    pub bands: Vec<Band>,
    /// Lines, drawn over the bands.
    pub lines: Vec<Line>,
    /// Goals, drawn over the lines.
    pub goals: Vec<Goal>,
}

/// Width of the drawing in its own units; the page scales it.
pub(super) const WIDTH: f64 = 560.0;
pub(super) const HEIGHT: f64 = 330.0;
/// Height of a line of text, at its size on a phone.
const LABEL: f64 = 20.0;
/// Width of a digit, at its size on a phone.
const DIGIT: f64 = 10.0;
/// Left end of the horizontal axis. It leaves room for labels at their size on a phone.
pub(super) const LEFT: f64 = 72.0;
pub(super) const RIGHT: f64 = WIDTH - 20.0;
pub(super) const TOP: f64 = 34.0;
pub(super) const BOTTOM: f64 = HEIGHT - 50.0;

impl Chart {
    /// Returns the drawing as SVG.
    pub fn svg(&self) -> String {
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

/// Begins a drawing with its title, its description and its axes.
pub(super) fn open(
    out: &mut String,
    id: &str,
    [title, description]: [&String; 2],
    [x, y]: [&Axis; 2],
) -> std::fmt::Result {
    let scale = |axis: &Axis| match axis.scale {
        Scale::Linear => "linear",
        Scale::Log => "log",
    };
    write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" \
         data-x=\"{} {} {} {LEFT} {RIGHT}\" data-y=\"{} {} {} {BOTTOM} {TOP}\">\
         <title id=\"{id}-title\">{}</title><desc id=\"{id}-desc\">{}</desc>",
        scale(x),
        x.from,
        x.to,
        scale(y),
        y.from,
        y.to,
        escaped(title),
        escaped(description)
    )
}

/// Draws the grid and its labels.
pub(super) fn frame(
    out: &mut String,
    [x, y]: [&Axis; 2],
    [x_label, y_label]: [&str; 2],
) -> std::fmt::Result {
    for (value, label) in y.ticks() {
        let at = up(y, value);
        write!(out, "<path class=\"rule\" d=\"M{LEFT} {at:.2}H{RIGHT}\"/>")?;
        let (left, middle) = (LEFT - 6.0, at + 5.0);
        write!(
            out,
            "<text class=\"tick\" x=\"{left}\" y=\"{middle:.2}\" text-anchor=\"end\" data-value=\"{value}\">{label}</text>"
        )?;
    }
    let mut free = 0.0;
    for (value, label) in x.ticks() {
        let (at, below) = (across(x, value), BOTTOM + 20.0);
        write!(out, "<path class=\"rule\" d=\"M{at:.2} {TOP}V{BOTTOM}\"/>")?;
        let half = DIGIT * scale::float(label.len() as u64) / 2.0;
        if at - half < free {
            continue;
        }
        free = at + half;
        write!(
            out,
            "<text class=\"tick\" x=\"{at:.2}\" y=\"{below}\" text-anchor=\"middle\" data-value=\"{value}\">{label}</text>"
        )?;
    }
    let (middle, below) = (f64::midpoint(LEFT, RIGHT), HEIGHT - 8.0);
    write!(out, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>")?;
    write!(
        out,
        "<text class=\"label\" x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{x_label}</text>"
    )?;
    write!(out, "<text class=\"label\" x=\"6\" y=\"16\">{y_label}</text>")
}

pub(super) fn across(axis: &Axis, value: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * axis.place(value)
}

pub(super) fn up(axis: &Axis, value: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * axis.place(value)
}

/// Draws a mark. Its shape depends on the colour, so that colour is never the only difference.
fn mark(out: &mut String, colour: usize, (x, y): (f64, f64)) -> std::fmt::Result {
    let d = match colour {
        0 => "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        1 => "m-3.5 -3.5h7v7h-7z",
        2 => "m0 -5l4.5 8h-9z",
        3 => "m0 -5l4.5 5l-4.5 5l-4.5 -5z",
        4 => "m0 5l4.5 -8h-9z",
        5 => "m-4 -4l8 8m0 -8l-8 8",
        _ => "m-5 0h10m-5 -5v10",
    };
    write!(out, "<path class=\"mark c{colour}\" d=\"M{x:.2} {y:.2}{d}\"/>")
}

/// Returns a piece of line with its mark, for a legend.
pub fn swatch(look: Look) -> String {
    let (colour, dash) = (look.colour, look.dash.class());
    let mut out = format!(
        "<svg class=\"swatch\" viewBox=\"0 0 34 14\" aria-hidden=\"true\"><path class=\"line c{colour} {dash}\" d=\"M1 7H33\"/>"
    );
    // Writing to a string cannot fail.
    let _ = mark(&mut out, colour, (17.0, 7.0));
    out + "</svg>"
}

/// Escapes text for XML, and replaces control characters with spaces.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            char if char.is_control() => out.push(' '),
            char => out.push(char),
        }
    }
    out
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
