//! The parts of a page, and its template.

use askama::Template;

use crate::harness::report::chart::{Look, swatch};

/// Page that needs no script and no network.
#[derive(Debug, Default, Template)]
#[template(path = "report.html")]
pub(crate) struct Page {
    /// Title of the page.
    pub(crate) title: String,
    /// Lines about place, time and builds.
    pub(crate) lead: Vec<String>,
    /// Verdicts.
    pub(crate) badges: Vec<Badge>,
    /// Warnings to read before the figures.
    pub(crate) alerts: Vec<Alert>,
    /// Main figures, as tables.
    pub(crate) summary: Vec<Table>,
    /// Charts.
    pub(crate) figures: Vec<Figure>,
    /// All other facts.
    pub(crate) panels: Vec<Panel>,
}

/// Verdict in a word or two.
#[derive(Clone, Debug)]
pub(crate) struct Badge {
    /// True if the verdict is good.
    pub(crate) good: bool,
    /// Text of the verdict.
    pub(crate) text: String,
}

/// Warning with its reasons.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    /// Title of the warning.
    pub(crate) title: String,
    /// Reasons of the warning.
    pub(crate) reasons: Vec<String>,
}

/// Table of figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Caption of the table.
    pub(crate) caption: String,
    /// Names of the columns.
    pub(crate) head: Vec<String>,
    /// Cells. The first cell of a row is its name.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Chart with its figures in a table below.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Id, unique in the page.
    pub(crate) id: String,
    /// Title of the chart.
    pub(crate) title: String,
    /// Explanation of the chart.
    pub(crate) text: String,
    /// Drawing as SVG.
    pub(crate) svg: String,
    /// Entries of the legend.
    pub(crate) legend: Vec<Key>,
    /// Drawn figures.
    pub(crate) table: Table,
}

/// Entry of a legend.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Piece of the line.
    pub(crate) swatch: String,
    /// Name of the line.
    pub(crate) name: String,
}

impl Key {
    /// Returns the entry of a line.
    pub(crate) fn new(name: &str, look: Look) -> Self {
        Self { swatch: swatch(look), name: name.to_owned() }
    }
}

/// Facts under one heading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    /// Heading.
    pub(crate) title: String,
    /// Facts as sentences.
    pub(crate) sentences: Vec<String>,
    /// Facts as names and values.
    pub(crate) pairs: Vec<(String, String)>,
    /// Facts with more than one value.
    pub(crate) tables: Vec<Table>,
}

/// Maximum number of columns of a panel that stands beside another.
const COLUMNS_MAX: usize = 4;

impl Panel {
    /// Returns true if the panel needs the whole width of the page.
    pub(crate) fn is_broad(&self) -> bool {
        self.tables.iter().any(|table| table.head.len() > COLUMNS_MAX)
    }
}
