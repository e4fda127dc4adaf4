//! A heat map: the number of samples in each cell of time and latency.

use std::fmt::Write;

use super::frame::{across, frame, open, up};
use super::scale::Axis;
use crate::harness::stats::float::float;

/// Heat map. The darkness of a cell follows the logarithm of its count.
#[derive(Clone, Debug)]
pub(crate) struct Heat {
    /// Id, unique in its page.
    pub(crate) id: String,
    /// Title for screen readers.
    pub(crate) title: String,
    /// Description for screen readers.
    pub(crate) description: String,
    /// Time axis.
    pub(crate) x: Axis,
    /// Latency axis.
    pub(crate) y: Axis,
    /// Edges of the columns, in values of `x`; one more than columns.
    pub(crate) columns: Vec<f64>,
    /// Edges of the rows, in values of `y`, ascending; one more than rows.
    pub(crate) rows: Vec<f64>,
    /// Counts, column by column.
    pub(crate) counts: Vec<Vec<u64>>,
}

/// Opacity of the faintest cell, 0 to 1. It must still differ from an empty cell.
const FAINTEST: f64 = 0.15;

impl Heat {
    /// Returns the drawing as SVG.
    pub(crate) fn svg(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    /// Returns the greatest count of a cell.
    pub(crate) fn most(&self) -> u64 {
        self.counts.iter().flatten().copied().max().unwrap_or(0)
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        open(out, &self.id, [&self.title, &self.description], [&self.x, &self.y])?;
        let edges = self.columns.iter().zip(self.columns.iter().skip(1));
        for ((left, right), counts) in edges.zip(&self.counts) {
            let (left, right) = (across(&self.x, *left), across(&self.x, *right));
            self.column(out, left, right - left, counts)?;
        }
        frame(out, [&self.x, &self.y], ["time since the beginning", "response time"])?;
        out.write_str("</svg>")
    }

    fn column(&self, out: &mut String, left: f64, width: f64, counts: &[u64]) -> std::fmt::Result {
        let most = float(self.most()).ln_1p();
        let edges = self.rows.iter().zip(self.rows.iter().skip(1));
        for ((low, high), count) in edges.zip(counts).filter(|(_, count)| **count > 0) {
            let (top, bottom) = (up(&self.y, *high), up(&self.y, *low));
            let height = bottom - top;
            let dark = FAINTEST + (1.0 - FAINTEST) * float(*count).ln_1p() / most;
            write!(
                out,
                "<rect class=\"cell\" x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill-opacity=\"{dark:.2}\" data-count=\"{count}\"/>"
            )?;
        }
        Ok(())
    }
}
