//! TOML files that people write: parsing to a value, or to a list of all faults.
//!
//! serde stops at the first fault. Here a faulty entry is recorded and removed, and the rest is read again,
//! until there are no more faults.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

/// Largest number of reported faults. Nobody fixes more at once.
const FAULTS_MAX: usize = 100;
/// Largest number of bytes that are read again. Each fault costs one reading of the file, so a large file
/// reports fewer faults.
const REREAD_BYTES_MAX: usize = 16 << 20;

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// Line of the file, from 1.
    pub(crate) line: usize,
    /// Description of the fault, and its remedy.
    pub(crate) what: String,
}

impl Fault {
    fn of(lines: &Lines, error: &Error) -> Self {
        let line = error.span().map_or(1, |span| lines.at(&span));
        let what = error.message().trim().replace('\n', "; ");
        // Adds the path of the key, which the message of a wrong value omits.
        let said = error.to_string();
        let path =
            said.trim_end().rsplit_once("\nin `").map(|(_, path)| path.trim_end_matches('`'));
        match path.filter(|_| !what.starts_with("unknown field")) {
            Some(path) => Self { line, what: format!("{path}: {what}") },
            None => Self { line, what },
        }
    }

    /// Formats the fault as a line of an error, with the `name` of the file before it.
    pub(crate) fn of_file(&self, name: impl fmt::Display) -> String {
        format!("{name}:{}: {}", self.line, self.what)
    }
}

/// Formats problems for an error, one on each line, at most a hundred.
pub(crate) fn listed(problems: &[String]) -> String {
    let more = problems.len().saturating_sub(FAULTS_MAX);
    let more = (more > 0).then(|| format!("\n  and {more} more"));
    let first = problems.iter().take(FAULTS_MAX).map(|problem| format!("\n  {problem}"));
    first.chain(more).collect()
}

/// Line starts of a text. They are found once and used for each fault.
#[derive(Debug)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    /// Finds the lines of `text`.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// Returns the line at which `span` begins, from 1.
    pub(crate) fn at(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|end| *end < span.start) + 1
    }
}

/// Result of reading a file.
#[derive(Debug)]
pub(crate) struct Read<T> {
    /// The value without its unknown keys, or `None` when there is any other fault.
    pub(crate) value: Option<T>,
    /// All faults, in the order of their lines: at most a hundred, and fewer for a file of megabytes.
    pub(crate) faults: Vec<Fault>,
}

/// Reads a file that may contain only keys of `T`.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Read<T> {
    let (mut document, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    if !errors.is_empty() {
        let faults = errors.iter().take(FAULTS_MAX).map(|error| Fault::of(&lines, error)).collect();
        return Read { value: None, faults };
    }
    let faults_max = (REREAD_BYTES_MAX / text.len().max(1)).clamp(1, FAULTS_MAX);
    let (mut faults, mut removed) = (Vec::new(), Removed::default());
    let whole = document.span();
    let value = loop {
        let error = match T::deserialize(Deserializer::from(document.clone())) {
            Ok(value) => break Some(value),
            Err(error) => error,
        };
        if !removed.explains(&error) {
            faults.push(Fault::of(&lines, &error));
        }
        let found =
            error.span().is_some_and(|span| removed.take(document.get_mut(), &whole, &span));
        if !found || faults.len() == faults_max {
            break None;
        }
    };
    faults.sort();
    Read { value: value.filter(|_| !removed.needed), faults }
}

/// Entries that were removed from a document so far.
#[derive(Debug, Default)]
struct Removed {
    /// Keys whose values were wrong, with the position of their table.
    keys: HashSet<(Range<usize>, String)>,
    /// True if anything other than an unknown key was removed.
    needed: bool,
}

impl Removed {
    /// Returns true if `error` only reports a removed entry as missing. Its fault was already reported.
    fn explains(&self, error: &Error) -> bool {
        let missing = error.message().trim().strip_prefix("missing field `");
        let key = missing.and_then(|rest| rest.split('`').next()).map(str::to_owned);
        key.zip(error.span()).is_some_and(|(key, table)| self.keys.contains(&(table, key)))
    }

    /// Removes the innermost entry whose key or value is at `span`. The table itself is at `own`.
    fn take(&mut self, table: &mut DeTable<'_>, own: &Range<usize>, span: &Range<usize>) -> bool {
        if table.iter_mut().any(|(_, value)| self.take_below(value, span)) {
            return true;
        }
        let is_at =
            |key: &Spanned<_>, value: &Spanned<_>| key.span() == *span || value.span() == *span;
        let entry = table.iter().find(|(key, value)| is_at(key, value));
        let Some(key) = entry.map(|(key, _)| key.clone()) else { return false };
        if key.span() != *span {
            self.needed = true;
            self.keys.insert((own.clone(), key.get_ref().to_string()));
        }
        table.remove(&key).is_some()
    }

    fn take_below(&mut self, value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
        let own = value.span();
        match value.get_mut() {
            DeValue::Table(table) => self.take(table, &own, span),
            DeValue::Array(items) => {
                if items.iter_mut().any(|item| self.take_below(item, span)) {
                    return true;
                }
                let kept = items.iter().filter(|item| item.span() != *span).cloned().collect();
                let before = items.len();
                *items = kept;
                let found = items.len() < before;
                self.needed |= found;
                found
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    struct Shop {
        name: String,
        #[serde(default)]
        open: bool,
        #[serde(default)]
        shelves: Vec<Shelf>,
        till: Option<Till>,
        #[serde(default)]
        prices: BTreeMap<String, u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    struct Shelf {
        height: u32,
        colour: Option<Colour>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    struct Till {
        coins: u32,
    }

    fn faults(text: &str) -> (bool, Vec<(usize, String)>) {
        let Read { value, faults } = read::<Shop>(text);
        let faults = faults.into_iter().map(|fault| (fault.line, fault.what));
        (value.is_some(), faults.collect())
    }

    #[test]
    fn every_unknown_key_is_named_with_its_line_and_the_rest_is_read() {
        let (read, faults) = faults(
            "nme = 1\nname = 'a'\nopne = true\n[till]\ncoins = 1\nnotes = 2\n\
             [[shelves]]\nheight = 1\nwidth = 2\n[[shelves]]\nheight = 1\ndepth = 2\nwidth = 3\n",
        );
        let keys =
            [(1, "nme"), (3, "opne"), (6, "notes"), (9, "width"), (12, "depth"), (13, "width")];
        assert_eq!(faults.len(), keys.len(), "{faults:?}");
        for ((line, what), (at, key)) in faults.iter().zip(keys) {
            assert!(
                *line == at && what.starts_with(&format!("unknown field `{key}`")),
                "{line}: {what}"
            );
        }
        assert!(read, "the file without those keys is whole");
    }

    #[test]
    fn faults_of_other_kinds_stand_beside_them_and_none_is_named_for_another() {
        let (read, faults) = faults(
            "nme = 'a'\nopen = 'yes'\n[till]\n[[shelves]]\nheight = 'tall'\n\
             [[shelves]]\nwidth = 1\n[[shelves]]\nheight = 1\ncolour = 'green'\n[prices]\nnail = -1\n",
        );
        let expected = [
            "missing field `name`",
            "unknown field `nme`",
            "open: invalid type: string \"yes\", expected a boolean",
            "till: missing field `coins`",
            "shelves.height: invalid type: string \"tall\", expected u32",
            "shelves: missing field `height`",
            "unknown field `width`",
            "shelves.colour: unknown variant `green`",
            "prices.nail: invalid value: integer `-1`, expected u32",
        ];
        for part in expected {
            let named = faults.iter().filter(|(_, what)| what.starts_with(part)).count();
            assert_eq!(named, 1, "{part}: {faults:#?}");
        }
        assert_eq!((read, faults.len()), (false, expected.len()), "{faults:#?}");
    }

    #[test]
    fn all_that_is_not_toml_is_named() {
        let (read, faults) = faults("name = \n[till\ncoins = 1\n");
        assert!(!read);
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<HashSet<_>>(), [1, 2].into());
    }

    #[test]
    fn a_file_full_of_faults_is_not_read_for_ever() {
        let lines: Vec<String> = (0..1000).map(|index| format!("key{index} = 1")).collect();
        assert_eq!(faults(&lines.join("\n")).1.len(), FAULTS_MAX);
        let large = format!("{}\n# {}", lines.join("\n"), "x".repeat(REREAD_BYTES_MAX / 4));
        assert_eq!(faults(&large).1.len(), 3);
    }

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("a\n\nb");
        assert_eq!([0, 1, 2, 3, 9].map(|at| lines.at(&(at..at))), [1, 1, 2, 3, 3]);
        assert_eq!(Lines::of("").at(&(0..0)), 1);
    }

    #[test]
    fn a_list_of_very_many_problems_ends_with_their_number() {
        let problems = |count: usize| vec!["bad".to_owned(); count];
        assert_eq!(listed(&problems(2)), "\n  bad\n  bad");
        assert!(listed(&problems(FAULTS_MAX)).ends_with("  bad"));
        let most = listed(&problems(FAULTS_MAX + 7));
        assert!(most.ends_with("  bad\n  and 7 more"), "{most}");
        assert_eq!(most.lines().count(), FAULTS_MAX + 2);
    }
}
