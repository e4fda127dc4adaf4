//! The parts of a page, and its template.

use askama::Template;

use crate::harness::report::chart::{Look, swatch};

/// Page that needs no script and no network.
#[derive(Debug, Default, Template)]
#[template(path = "report.html")]
pub struct Page {
    /// Title of the page.
    pub title: String,
    /// Lines about place, time and builds.
    pub lead: Vec<String>,
    /// Verdicts.
    pub badges: Vec<Badge>,
    /// Warnings to read before the figures.
    pub alerts: Vec<Alert>,
    /// Main figures, as tables.
    pub summary: Vec<Table>,
    /// Charts.
    pub figures: Vec<Figure>,
    /// All other facts.
    pub panels: Vec<Panel>,
}

/// Verdict in a word or two.
#[derive(Clone, Debug)]
pub struct Badge {
    /// True if the verdict is good.
    pub good: bool,
    /// Text of the verdict.
    pub text: String,
}

/// Warning with its reasons.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Title of the warning.
    pub title: String,
    /// Reasons of the warning.
    pub reasons: Vec<String>,
}

/// Table of figures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Caption of the table.
    pub caption: String,
    /// Names of the columns.
    pub head: Vec<String>,
    /// Cells. The first cell of a row is its name.
    pub rows: Vec<Vec<String>>,
}

/// Chart with its figures in a table below.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Id, unique in the page.
    pub id: String,
    /// Title of the chart.
    pub title: String,
    /// Explanation of the chart.
    pub text: String,
    /// Drawing as SVG.
    pub svg: String,
    /// Entries of the legend.
    pub legend: Vec<Key>,
    /// Drawn figures.
    pub table: Table,
}

/// Entry of a legend.
#[derive(Clone, Debug)]
pub struct Key {
    /// Piece of the line.
    pub swatch: String,
    /// Name of the line.
    pub name: String,
}

impl Key {
    /// Returns the entry of a line.
    pub fn new(name: &str, look: Look) -> Self {
        Self { swatch: swatch(look), name: name.to_owned() }
    }
}

/// Facts under one heading.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Heading.
    pub title: String,
    /// Facts as sentences.
    pub sentences: Vec<String>,
    /// Facts as names and values.
    pub pairs: Vec<(String, String)>,
    /// Facts with more than one value.
    pub tables: Vec<Table>,
}

/// Maximum number of columns of a panel that stands beside another.
const COLUMNS_MAX: usize = 4;

impl Panel {
    /// Returns true if the panel needs the whole width of the page.
    pub fn is_broad(&self) -> bool {
        self.tables.iter().any(|table| table.head.len() > COLUMNS_MAX)
    }
}
