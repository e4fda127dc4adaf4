//! Requests recorded elsewhere: a file of start times, and optionally of VMs, identities and
//! resources.
//!
//! There are two formats, told apart by the first character that is not blank: CSV with a header
//! line (RFC 4180, also as spreadsheets export it), or JSON lines (one object per line). The field
//! `t_offset_s` is required; `vm`, `identity` and `resource` are optional.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::base::synthetic::{Synthetic, WELL_KNOWN_RESOURCES};
use crate::harness::nanos::Nanos;

/// A recorded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Start of the request, from the start of the trace.
    pub at: Nanos,
    /// Number of the VM that asks, if recorded.
    pub vm: Option<u32>,
    /// Number of the identity, if recorded: 0 is the system-assigned one, then the user-assigned
    /// ones follow.
    pub identity: Option<u32>,
    /// Index of the resource in [`WELL_KNOWN_RESOURCES`], if recorded.
    pub resource: Option<u8>,
    /// Line of the request in the file, from 1.
    line: usize,
}

/// Recorded requests, ordered by time; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    name: Arc<str>,
    rows: Arc<[Row]>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rows } = self;
        f.debug_struct("Trace").field("name", name).field("rows", &rows.len()).finish()
    }
}

/// A fault of a trace, and its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}: {fault}")]
pub struct TraceError {
    name: String,
    line: usize,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("there is no request in it; write one on each line")]
    Empty,
    #[error("the header names no column `t_offset_s`; write t_offset_s[,vm][,identity][,resource]")]
    NoTime,
    #[error("`{0}` is not a column; write t_offset_s[,vm][,identity][,resource]")]
    Column(String),
    #[error("the header names the column `{0}` twice; leave one out")]
    Twice(String),
    #[error("{found} fields where the header has {expected}")]
    Fields { found: usize, expected: usize },
    #[error(
        "a quoted field has no end, or text behind it; write \"...\", and \"\" for a quote in it"
    )]
    Quote,
    #[error("`{column}` is `{text}`; write {wanted}")]
    Value { column: &'static str, text: String, wanted: &'static str },
    #[error("`resource` is `{0}`; write one of {known}", known = WELL_KNOWN_RESOURCES.join(", "))]
    Resource(String),
    #[error("{0}")]
    Json(String),
    #[error("there is no VM {vm}: the world has {vms}, numbered from 0; raise --vms")]
    Vm { vm: u32, vms: u32 },
    #[error(
        "there is no identity {identity}: a VM has {user_assigned} user-assigned ones after number 0, the system-assigned one; raise --user-assigned"
    )]
    Identity { identity: u32, user_assigned: u32 },
}

/// The largest offset in seconds: seven days, longer than any run.
const OFFSET_MAX_S: f64 = 7.0 * 86_400.0;
const OFFSET: &str = "seconds from the start of the trace, 0 to 604800";
const NUMBER: &str = "a number from 0, or leave it empty";

impl Trace {
    /// Reads a trace. `name` is for messages.
    ///
    /// # Errors
    /// Returns [`TraceError`] for the first invalid line.
    pub fn parse(name: &str, text: &str) -> Result<Self, TraceError> {
        let at = |(line, fault)| TraceError { name: name.to_owned(), line, fault };
        // Spreadsheets write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let json = text.trim_start().starts_with('{');
        let mut rows = if json { json_lines(text) } else { csv(text) }.map_err(at)?;
        if rows.is_empty() {
            return Err(at((1, Fault::Empty)));
        }
        // Merged logs of several machines are seldom in order.
        rows.sort_by_key(|row| row.at);
        Ok(Self { name: name.into(), rows: rows.into() })
    }

    /// Returns the requests, ordered by time.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the time from the start to just after the last request.
    pub fn length(&self) -> Nanos {
        self.rows.last().map_or(Nanos::ZERO, |row| row.at + Nanos::new(1))
    }

    /// Checks that the VM and the identity of each request are in the world.
    ///
    /// # Errors
    /// Returns [`TraceError`] for the first request whose VM or identity is not.
    pub fn check(&self, world: &Synthetic) -> Result<(), TraceError> {
        let Synthetic { vms, user_assigned, .. } = *world;
        let fault = |row: &Row| match (row.vm, row.identity) {
            (Some(vm), _) if vm >= vms => Some(Fault::Vm { vm, vms }),
            (_, Some(identity)) if identity > user_assigned => {
                Some(Fault::Identity { identity, user_assigned })
            }
            _ => None,
        };
        let wrong = self.rows.iter().find_map(|row| Some((row.line, fault(row)?)));
        let name = self.name.to_string();
        wrong.map_or(Ok(()), |(line, fault)| Err(TraceError { name, line, fault }))
    }
}

type Line = (usize, Fault);

/// Returns the lines that are neither blank nor comments, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines().map(str::trim));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn csv(text: &str) -> Result<Vec<Row>, Line> {
    let mut lines = lines(text);
    let Some((number, header)) = lines.next() else { return Ok(Vec::new()) };
    let names = fields(header).map_err(|fault| (number, fault))?;
    let columns = names.iter().map(|name| Column::named(name));
    let columns: Vec<Column> =
        columns.collect::<Result<_, _>>().map_err(|fault| (number, fault))?;
    let is_again = |(index, name)| names.iter().take(index).any(|before| before == name);
    if let Some((_, name)) = names.iter().enumerate().find(|named| is_again(*named)) {
        return Err((number, Fault::Twice(name.to_string())));
    }
    if !columns.contains(&Column::Time) {
        return Err((number, Fault::NoTime));
    }
    lines.map(|(number, line)| csv_row(number, line, &columns).map_err(|e| (number, e))).collect()
}

/// Returns the fields of a line without the blanks around them. A quoted field may hold commas (RFC
/// 4180 section 2), but no line end, because no column here has one.
fn fields(line: &str) -> Result<Vec<Cow<'_, str>>, Fault> {
    let (mut fields, mut rest) = (Vec::new(), Some(line));
    while let Some(text) = rest {
        let (field, behind) = if let Some(text) = text.trim_start().strip_prefix('"') {
            quoted(text)?
        } else {
            let (field, behind) = text.split_at(text.find(',').unwrap_or(text.len()));
            (Cow::Borrowed(field.trim()), behind)
        };
        fields.push(field);
        rest = behind.strip_prefix(',');
    }
    Ok(fields)
}

/// Returns the content of a quoted field whose opening quote is removed, and the text from the next
/// comma on.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), Fault> {
    let mut end = 0;
    loop {
        end += text.get(end..).and_then(|rest| rest.find('"')).ok_or(Fault::Quote)?;
        let (content, behind) = text.split_at(end);
        if behind.starts_with("\"\"") {
            end += 2;
            continue;
        }
        let behind = behind.get(1..).unwrap_or_default().trim_start();
        if !behind.is_empty() && !behind.starts_with(',') {
            return Err(Fault::Quote);
        }
        return Ok((content.replace("\"\"", "\"").into(), behind));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Time,
    Vm,
    Identity,
    Resource,
}

impl Column {
    fn named(name: &str) -> Result<Self, Fault> {
        match name {
            "t_offset_s" => Ok(Self::Time),
            "vm" => Ok(Self::Vm),
            "identity" => Ok(Self::Identity),
            "resource" => Ok(Self::Resource),
            _ => Err(Fault::Column(name.to_owned())),
        }
    }
}

fn csv_row(line: usize, text: &str, columns: &[Column]) -> Result<Row, Fault> {
    let fields = fields(text)?;
    if fields.len() != columns.len() {
        return Err(Fault::Fields { found: fields.len(), expected: columns.len() });
    }
    let mut row = Row { at: Nanos::ZERO, vm: None, identity: None, resource: None, line };
    for (column, field) in columns.iter().zip(&fields) {
        let field = field.as_ref();
        match column {
            Column::Time => {
                let seconds = field.parse().map_err(|_| wrong("t_offset_s", field, OFFSET))?;
                row.at = offset(seconds)?;
            }
            Column::Vm => row.vm = number("vm", field)?,
            Column::Identity => row.identity = number("identity", field)?,
            Column::Resource if field.is_empty() => {}
            Column::Resource => row.resource = Some(resource(field)?),
        }
    }
    Ok(row)
}

fn wrong(column: &'static str, text: &str, wanted: &'static str) -> Fault {
    Fault::Value { column, text: text.to_owned(), wanted }
}

fn number(column: &'static str, field: &str) -> Result<Option<u32>, Fault> {
    let parse = || field.parse().map_err(|_| wrong(column, field, NUMBER));
    if field.is_empty() { Ok(None) } else { parse().map(Some) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and far below 2^53 ns"
)]
fn offset(seconds: f64) -> Result<Nanos, Fault> {
    if !(0.0..=OFFSET_MAX_S).contains(&seconds) {
        return Err(wrong("t_offset_s", &seconds.to_string(), OFFSET));
    }
    Ok(Nanos::new((seconds * 1e9).round() as u64))
}

fn resource(text: &str) -> Result<u8, Fault> {
    resource_index(text).ok_or_else(|| Fault::Resource(text.to_owned()))
}

/// Returns the index in [`WELL_KNOWN_RESOURCES`] of the resource that `text` names. A slash at its
/// end makes no difference.
pub fn resource_index(text: &str) -> Option<u8> {
    let plain = |name: &str| name.trim_end_matches('/').to_owned();
    let position = WELL_KNOWN_RESOURCES.iter().position(|name| plain(name) == plain(text))?;
    u8::try_from(position).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    t_offset_s: f64,
    vm: Option<u32>,
    identity: Option<u32>,
    resource: Option<String>,
}

fn json_lines(text: &str) -> Result<Vec<Row>, Line> {
    let row = |(line, text): (usize, &str)| {
        let row: JsonRow =
            serde_json::from_str(text).map_err(|error| (line, Fault::Json(error.to_string())))?;
        let at = offset(row.t_offset_s).map_err(|fault| (line, fault))?;
        let resource = row.resource.as_deref().map(resource).transpose();
        let resource = resource.map_err(|fault| (line, fault))?;
        Ok(Row { at, vm: row.vm, identity: row.identity, resource, line })
    };
    lines(text).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        Trace::parse("t.csv", text).unwrap_err().to_string()
    }

    #[test]
    fn both_forms_say_the_same_and_are_sorted() {
        let csv =
            "# recorded in May\nvm, t_offset_s,resource\n\n3,0.5,https://vault.azure.net\n,0.25,\n";
        let json = r#"{"t_offset_s": 0.5, "vm": 3, "resource": "https://vault.azure.net/"}
                      {"t_offset_s": 0.25}"#;
        let facts = |text| {
            let trace = Trace::parse("t", text).unwrap();
            let rows = trace.rows().iter().map(|row| (row.at, row.vm, row.identity, row.resource));
            rows.collect::<Vec<_>>()
        };
        let expected = [
            (Nanos::from_millis(250), None, None, None),
            (Nanos::from_millis(500), Some(3), None, Some(2)),
        ];
        assert_eq!(facts(csv), expected);
        assert_eq!(facts(json), expected);
        assert_eq!(Trace::parse("t", csv).unwrap().length(), Nanos::new(500_000_001));
    }

    #[test]
    fn a_trace_from_a_spreadsheet_reads_like_any_other() {
        let rows = |text: &str| {
            let trace = Trace::parse("t", text).unwrap();
            let rows = trace.rows().iter().map(|row| (row.at, row.vm, row.resource));
            rows.collect::<Vec<_>>()
        };
        let plain = rows("t_offset_s,vm,resource\n0.5,3,https://vault.azure.net\n1,,\n");
        assert_eq!(
            rows(
                "\u{feff}\"t_offset_s\",\"vm\",\"resource\"\r\n\"0.5\", \"3\" ,\"https://vault.azure.net\"\r\n1,\"\",\r\n"
            ),
            plain
        );
        let json = "\u{feff}{\"t_offset_s\": 0.5, \"vm\": 3, \"resource\": \"https://vault.azure.net\"}\r\n{\"t_offset_s\": 1}\r\n";
        assert_eq!(rows(json), plain);
        assert_eq!(fields("a,\"b,\"\"c\"\"\", ,\"\"").unwrap(), ["a", "b,\"c\"", "", ""]);
        assert_eq!(fields("").unwrap(), [""]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("", "t.csv:1: there is no request in it"),
            ("t_offset_s\n", "t.csv:1: there is no request"),
            ("vm\n1\n", "t.csv:1: the header names no column `t_offset_s`"),
            ("t_offset_s,who\n", "t.csv:1: `who` is not a column"),
            ("t_offset_s,vm,vm\n0,1,2\n", "t.csv:1: the header names the column `vm` twice"),
            ("t_offset_s,vm\n1,2\n3\n", "t.csv:3: 1 fields where the header has 2"),
            ("t_offset_s\n0\n\nsoon\n", "t.csv:4: `t_offset_s` is `soon`"),
            ("t_offset_s\n-1\n", "t.csv:2: `t_offset_s` is `-1`"),
            ("t_offset_s,vm\n\"1,2\n", "t.csv:2: a quoted field has no end"),
            ("t_offset_s,vm\n\"1\"0,2\n", "t.csv:2: a quoted field has no end, or text behind"),
            ("t_offset_s\nNaN\n", "t.csv:2: `t_offset_s` is `NaN`"),
            ("t_offset_s,vm\n1,-2\n", "t.csv:2: `vm` is `-2`; write a number from 0"),
            ("t_offset_s,resource\n1,x\n", "t.csv:2: `resource` is `x`; write one of https://man"),
            ("{\"t_offset_s\": 1}\n{\"vm\": 2}\n", "t.csv:2: missing field `t_offset_s`"),
            ("{\"t_offset_s\": 1, \"v\": 1}\n", "t.csv:1: unknown field `v`"),
        ] {
            let message = refused(text);
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn whoever_is_not_in_the_world_is_found() {
        let world = Synthetic { vms: 2, user_assigned: 1, seed: 1 };
        let check =
            |text| Trace::parse("t", text).unwrap().check(&world).map_err(|e| e.to_string());
        assert_eq!(check("t_offset_s,vm,identity\n0,1,1\n"), Ok(()));
        let vm = check("t_offset_s,vm,identity\n0,1,1\n1,2,0\n").unwrap_err();
        assert!(vm.starts_with("t:3: there is no VM 2"), "{vm}");
        let identity = check("t_offset_s,identity\n0,2\n").unwrap_err();
        assert!(identity.starts_with("t:2: there is no identity 2"), "{identity}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text: String) {
            let _ = Trace::parse("t", &text);
            let _ = Trace::parse("t", &format!("t_offset_s,vm\n{text}"));
            let _ = Trace::parse("t", &format!("t_offset_s,vm\n\"{text}"));
            let _ = Trace::parse("t", &format!("{{{text}"));
        }
    }
}
