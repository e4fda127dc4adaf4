//! The frame of a drawing: its size, its axes with their labels, and the places and marks on it.

use std::fmt::Write;

use super::scale::{Axis, Scale};
use crate::harness::stats::float::float;

/// Width of the drawing in its own units; the page scales it.
pub(super) const WIDTH: f64 = 560.0;
/// Height of the drawing.
pub(super) const HEIGHT: f64 = 330.0;
/// Width of a digit, at its size on a phone.
const DIGIT: f64 = 10.0;
/// Left end of the horizontal axis. It leaves room for labels at their size on a phone.
pub(super) const LEFT: f64 = 72.0;
/// Right end of the horizontal axis.
pub(super) const RIGHT: f64 = WIDTH - 20.0;
/// Upper end of the vertical axis.
pub(super) const TOP: f64 = 34.0;
/// Lower end of the vertical axis.
pub(super) const BOTTOM: f64 = HEIGHT - 50.0;

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
        let half = DIGIT * float(label.len() as u64) / 2.0;
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

/// Returns the horizontal place of a value.
pub(super) fn across(axis: &Axis, value: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * axis.place(value)
}

/// Returns the vertical place of a value.
pub(super) fn up(axis: &Axis, value: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * axis.place(value)
}

/// Draws a mark. Its shape depends on the colour, so that colour is never the only difference.
pub(super) fn mark(out: &mut String, colour: usize, (x, y): (f64, f64)) -> std::fmt::Result {
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

/// Escapes text for XML, and replaces control characters with spaces.
pub(crate) fn escaped(text: &str) -> String {
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
