//! The parts of a page, and the template that they are put into.

use askama::Template;

use crate::report::chart::{Look, swatch};

/// A page that needs nothing but itself: no script, no network.
#[derive(Debug, Default, Template)]
#[template(path = "report.html")]
pub struct Page {
    /// What it is about.
    pub title: String,
    /// Where and when.
    pub lead: Vec<String>,
    /// The verdicts.
    pub badges: Vec<Badge>,
    /// What must be known before anything is believed.
    pub alerts: Vec<Alert>,
    /// The figures that most readers came for.
    pub summary: Vec<Table>,
    /// The charts.
    pub figures: Vec<Figure>,
    /// The rest.
    pub panels: Vec<Panel>,
}

/// A verdict in a word or two.
#[derive(Clone, Debug)]
pub struct Badge {
    /// Whether it is a good one.
    pub good: bool,
    /// The words.
    pub text: String,
}

/// A warning with what it is based on.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What is wrong.
    pub title: String,
    /// Why.
    pub reasons: Vec<String>,
}

/// Rows of figures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it holds.
    pub caption: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// The cells; the first of a row names it.
    pub rows: Vec<Vec<String>>,
}

/// A chart and, beneath it, its figures.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Unique in the page.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub text: String,
    /// The drawing.
    pub svg: String,
    /// The lines by name.
    pub legend: Vec<Key>,
    /// The figures that are drawn.
    pub table: Table,
}

/// An entry of a legend.
#[derive(Clone, Debug)]
pub struct Key {
    /// A piece of the line.
    pub swatch: String,
    /// What it is.
    pub name: String,
}

impl Key {
    /// The entry of a line.
    pub fn new(name: &str, look: Look) -> Self {
        Self { swatch: swatch(look), name: name.to_owned() }
    }
}

/// Facts under one heading.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// The heading.
    pub title: String,
    /// Sentences.
    pub sentences: Vec<String>,
    /// Names and values.
    pub pairs: Vec<(String, String)>,
    /// What has more than one value.
    pub tables: Vec<Table>,
}

/// More columns do not fit into a panel beside another.
const COLUMNS_MAX: usize = 4;

impl Panel {
    /// Whether it takes the whole width of the page.
    pub fn is_broad(&self) -> bool {
        self.tables.iter().any(|table| table.head.len() > COLUMNS_MAX)
    }
}
