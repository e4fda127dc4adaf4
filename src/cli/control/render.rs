//! Results: a table or sentence for people, JSON for scripts.

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::base::printable::{json, printable};
use crate::cli::terminal::{PrintError, Stream, print, print_as_is};

/// Reader of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Pipe,
    Terminal,
}

/// Output of a command on standard output.
#[derive(Debug)]
pub(super) struct Output {
    json: Value,
    view: View,
}

#[derive(Debug)]
enum View {
    /// Columns with their names.
    Rows {
        header: Vec<&'static str>,
        rows: Vec<Vec<String>>,
    },
    /// The fields of one item.
    Record(Vec<(&'static str, String)>),
    Sentence(String),
    /// A text printed unchanged. A line end is added only on a terminal.
    Verbatim(String),
}

impl Output {
    /// Creates a list of items, in the order of their first columns.
    pub(super) fn rows<const N: usize>(
        json: Vec<Value>,
        header: [&'static str; N],
        mut row: impl FnMut(&Value) -> [String; N],
    ) -> Self {
        let rows = json.iter().map(|one| row(one).into()).collect();
        Self { json: Value::Array(json), view: View::Rows { header: header.into(), rows } }
    }

    /// Creates the fields of one item. Fields without a value are left out.
    pub(super) fn record(json: Value, fields: Vec<(&'static str, String)>) -> Self {
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Self { json, view: View::Record(fields) }
    }

    pub(super) const fn sentence(json: Value, sentence: String) -> Self {
        Self { json, view: View::Sentence(sentence) }
    }

    pub(super) const fn verbatim(json: Value, text: String) -> Self {
        Self { json, view: View::Verbatim(text) }
    }

    /// Prints the output as JSON.
    pub(super) fn print_json(&self) -> Result<(), PrintError> {
        print(&self.as_json()?)
    }

    /// Prints the output for people.
    pub(super) fn print(&self) -> Result<(), PrintError> {
        let reader = if Stream::Output.is_terminal() { Reader::Terminal } else { Reader::Pipe };
        let text = self.as_text(reader);
        match (&self.view, reader) {
            // A program gets exactly the value.
            (View::Verbatim(_), Reader::Pipe) => print_as_is(text.as_bytes()),
            _ => print(&text),
        }
    }

    fn as_json(&self) -> Result<String, serde_json::Error> {
        json(&self.json)
    }

    fn as_text(&self, reader: Reader) -> String {
        match &self.view {
            View::Rows { header, rows } => {
                let header = header.iter().map(|name| (*name).to_owned()).collect();
                columns(Some(header), rows.clone(), reader)
            }
            View::Record(fields) => {
                let rows =
                    fields.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
                columns(None, rows.collect(), Reader::Pipe)
            }
            View::Sentence(sentence) => format!("{sentence}\n"),
            View::Verbatim(text) if reader == Reader::Terminal => format!("{text}\n"),
            View::Verbatim(text) => text.clone(),
        }
    }
}

/// Aligns columns. On a terminal there is a line below the header.
fn columns(header: Option<Vec<String>>, rows: Vec<Vec<String>>, reader: Reader) -> String {
    let mut table = Table::new();
    table.load_style(match reader {
        Reader::Pipe => presets::NOTHING,
        Reader::Terminal => presets::UTF8_HORIZONTAL_ONLY,
    });
    if let Some(header) = header {
        table.set_header(header);
    }
    for row in rows {
        // Escapes first, because escaped text is longer and the columns are measured next.
        let shown = |cell: &String| printable(cell).into_owned();
        let cells =
            row.iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { shown(cell) });
        table.add_row(cells);
    }
    if reader == Reader::Pipe {
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn two() -> Output {
        let list = vec![json!({ "name": "web", "id": "1" }), json!({ "name": "long-name" })];
        Output::rows(list, ["NAME", "ID"], |one| {
            ["name", "id"].map(|key| one[key].as_str().unwrap_or_default().to_owned())
        })
    }

    #[test]
    fn a_piped_table_has_aligned_columns_and_nothing_else() {
        assert_eq!(two().as_text(Reader::Pipe), "NAME       ID\nweb        1\nlong-name  -\n");
    }

    #[test]
    fn columns_stay_aligned_beside_a_name_that_is_shown_as_text() {
        let list =
            vec![json!({ "name": "\u{1b}[2J", "id": "1" }), json!({ "name": "web", "id": "2" })];
        let table = Output::rows(list, ["NAME", "ID"], |one| {
            ["name", "id"].map(|key| one[key].as_str().unwrap_or_default().to_owned())
        });
        let text = "NAME       ID\n\\u{1b}[2J  1\nweb        2\n";
        assert_eq!(table.as_text(Reader::Pipe), text);
    }

    #[test]
    fn a_table_on_a_terminal_has_lines() {
        assert!(two().as_text(Reader::Terminal).contains('─'));
    }

    #[test]
    fn json_is_what_the_server_said() {
        let parsed: Value = serde_json::from_str(&two().as_json().unwrap()).unwrap();
        assert_eq!(parsed, json!([{ "name": "web", "id": "1" }, { "name": "long-name" }]));
    }

    #[test]
    fn a_record_leaves_out_what_is_not_known() {
        let fields = vec![("name", "web".to_owned()), ("address", String::new())];
        assert_eq!(Output::record(json!({}), fields).as_text(Reader::Terminal), "name  web\n");
    }

    #[test]
    fn a_value_in_a_pipe_has_no_line_end_of_ours() {
        let value = Output::verbatim(json!({}), "s3cret".to_owned());
        assert_eq!(value.as_text(Reader::Pipe), "s3cret");
        assert_eq!(value.as_text(Reader::Terminal), "s3cret\n");
    }
}
