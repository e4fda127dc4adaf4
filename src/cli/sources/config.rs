//! The `--config` file: its keys become the defaults of the flags with the same names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Command;
use toml::Spanned;

use super::spelling::nearest;
use super::variables::variable;
use crate::base::files;
use crate::base::files::{ReadError, SETTINGS_BYTES_MAX};
use crate::base::toml_file;
use crate::base::toml_file::{Fault, Lines, listed};

/// Reasons why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("the configuration file cannot be used")]
    Read(#[from] ReadError),
    #[error("the configuration file is refused{problems}", problems = listed(.0))]
    Refused(Vec<String>),
}

/// Sections with their keys.
type Sections = BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<toml::Value>>>;

/// Contents of a configuration file.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) keys: Vec<Key>,
}

/// Key of a section.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Name of the command.
    pub(super) section: String,
    /// Name of the flag.
    pub(super) name: String,
    /// Id of the flag in clap.
    pub(super) id: clap::Id,
    values: Vec<String>,
}

impl ConfigFile {
    /// Reads the file that `args` or the environment names. Without a name, nothing is set.
    ///
    /// # Errors
    /// Returns [`ConfigError`] with every fault of the file.
    pub(super) fn read(command: &Command, args: &[OsString]) -> Result<Self, ConfigError> {
        let Some(path) = config_path(args) else { return Ok(Self::default()) };
        let text = files::read_text(&path, SETTINGS_BYTES_MAX)?;
        let toml_file::Read { value, mut faults } = toml_file::read::<Sections>(&text);
        let (lines, mut keys) = (Lines::of(&text), Vec::new());
        for (section, entries) in value.unwrap_or_default() {
            match keys_of(command, section.get_ref(), &entries, &lines) {
                Ok(found) => keys.extend(found),
                Err(found) => faults.extend(found),
            }
            if !is_command(command, section.get_ref()) {
                faults.push(unknown_section(command, &section, &lines));
            }
        }
        if faults.is_empty() {
            return Ok(Self { path, keys });
        }
        faults.sort();
        let problems = faults.iter().map(|fault| fault.of_file(path.display()));
        Err(ConfigError::Refused(problems.collect()))
    }

    /// Returns the commands, with the values of the file as their defaults.
    pub(super) fn apply(&self, command: Command) -> Command {
        self.keys.iter().fold(command, |command, key| {
            let set = |arg: clap::Arg| arg.default_values(key.values.clone());
            command.mut_subcommand(&key.section, |sub| sub.mut_arg(key.id.clone(), set))
        })
    }

    /// Returns the same file without one of its keys.
    pub(super) fn without(&self, index: usize) -> Self {
        let mut rest = self.clone();
        rest.keys.remove(index);
        rest
    }
}

fn config_path(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().filter_map(|arg| arg.to_str());
    while let Some(arg) = args.next() {
        if arg == "--" {
            break;
        }
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = arg.strip_prefix("--config=") {
            return Some(PathBuf::from(path));
        }
    }
    variable("MINTBENCH_CONFIG").map(PathBuf::from)
}

fn is_command(command: &Command, section: &str) -> bool {
    command.get_subcommands().any(|sub| sub.get_name() == section)
}

fn unknown_section(command: &Command, section: &Spanned<String>, lines: &Lines) -> Fault {
    let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    Fault {
        line: lines.at(&section.span()),
        what: format!("[{}] is not a command; use one of: {}", section.get_ref(), known.join(", ")),
    }
}

/// Returns the keys of a section, or their faults; empty for a command that does not exist.
fn keys_of(
    command: &Command,
    section: &str,
    entries: &BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    lines: &Lines,
) -> Result<Vec<Key>, Vec<Fault>> {
    let Some(sub) = command.find_subcommand(section) else { return Ok(Vec::new()) };
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for (name, value) in entries {
        let flag = sub.get_arguments().find(|arg| arg.get_long() == Some(name.get_ref()));
        let (span, what) = match (flag, texts(value.get_ref())) {
            (Some(flag), Ok(values)) => {
                let (section, name) = (section.to_owned(), name.get_ref().clone());
                keys.push(Key { section, name, id: flag.get_id().clone(), values });
                continue;
            }
            (None, _) => (name.span(), unknown_key(sub, section, name.get_ref())),
            (_, Err(kind)) => (value.span(), wrong_kind(section, name.get_ref(), kind)),
        };
        faults.push(Fault { line: lines.at(&span), what });
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn unknown_key(sub: &Command, section: &str, key: &str) -> String {
    let flags = sub.get_arguments().filter_map(clap::Arg::get_long);
    let near = nearest(key, flags);
    let near = near.map_or(String::new(), |flag| format!("; did you mean `{flag}`?"));
    format!(
        "[{section}] has the key `{key}`, which is not a flag{near}; see `mintbench {section} --help`"
    )
}

fn wrong_kind(section: &str, key: &str, kind: &str) -> String {
    format!(
        "the value of `{key}` in [{section}] is a {kind}; write a string, a number, a boolean or a list of them"
    )
}

fn texts(value: &toml::Value) -> Result<Vec<String>, &'static str> {
    match value {
        toml::Value::Array(items) => {
            let texts = items.iter().map(texts).collect::<Result<Vec<_>, _>>()?;
            Ok(texts.into_iter().flatten().collect())
        }
        toml::Value::Boolean(flag) => Ok(vec![flag.to_string()]),
        toml::Value::Float(number) => Ok(vec![number.to_string()]),
        toml::Value::Integer(number) => Ok(vec![number.to_string()]),
        toml::Value::String(text) => Ok(vec![text.clone()]),
        toml::Value::Datetime(_) | toml::Value::Table(_) => Err(value.type_str()),
    }
}
