//! Sources of settings other than the command line: environment variables and the `--config` file. An
//! error names the source that caused it.

mod config;
mod spelling;
pub(super) mod variables;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use self::config::{ConfigError, ConfigFile};
use self::spelling::nearest;
use self::variables::{WITHOUT_FLAG, variable};
use super::terminal::say;
use crate::base::secret::shown_url;

/// Prefix of the build's variables, which `cargo run` passes on.
const OF_BUILD: &str = "MINTBENCH_BUILD_";

/// Source of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Key of the configuration file.
    Key { path: String, section: String, key: String },
    /// Environment variable. The value is missing if it may be secret.
    Variable { name: String, value: Option<String> },
}

impl Origin {
    fn is_variable(&self, other: &OsStr) -> bool {
        matches!(self, Self::Variable { name, .. } if other == name.as_str())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { path, section, key } => write!(f, "{path}: `{key}` of [{section}]"),
            Self::Variable { name, value: Some(value) } => write!(f, "{name}={value}"),
            Self::Variable { name, value: None } => f.write_str(name),
        }
    }
}

/// Commands, with the values of the environment and the configuration file.
#[derive(Debug)]
pub(super) struct Sources {
    command: Command,
    config: ConfigFile,
}

impl Sources {
    /// Reads the configuration file that `args` or the environment names.
    ///
    /// # Errors
    /// Returns [`ConfigError`] when the file is refused.
    pub(super) fn read(command: Command, args: &[OsString]) -> Result<Self, ConfigError> {
        warn_of_unknown(&command);
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let command = without_variables(command, &is_empty);
        let config = ConfigFile::read(&command, args)?;
        Ok(Self { command, config })
    }

    /// Parses the command line. Missing values come from the environment, then from the file.
    ///
    /// # Errors
    /// Returns the error of the parser, with the source of the setting at fault if it is not in `args`.
    pub(super) fn parse(
        &self,
        args: &[OsString],
    ) -> Result<ArgMatches, (clap::Error, Option<Origin>)> {
        let parsed = parse_with(self.command.clone(), &self.config, args);
        parsed.map_err(|error| {
            let origin = error.use_stderr().then(|| self.blamed(args, &error)).flatten();
            (error, origin)
        })
    }

    /// Returns the setting whose removal changes or clears the error, if there is one.
    fn blamed(&self, args: &[OsString], error: &clap::Error) -> Option<Origin> {
        let said = problem(error);
        let differs = |parsed: Result<ArgMatches, clap::Error>| {
            parsed.err().is_none_or(|error| problem(&error) != said)
        };
        let mut variables = Vec::new();
        for_each_flag(&self.command, &mut |arg| variables.extend(of_variable(arg)));
        let variable = variables.into_iter().find(|origin| {
            let command = without_variables(self.command.clone(), &|name| origin.is_variable(name));
            differs(parse_with(command, &self.config, args))
        });
        let of_key = || {
            let mut keys = 0..self.config.keys.len();
            let index = keys.find(|index| {
                differs(parse_with(self.command.clone(), &self.config.without(*index), args))
            })?;
            self.of_key(index)
        };
        variable.or_else(of_key)
    }

    fn of_key(&self, index: usize) -> Option<Origin> {
        let key = self.config.keys.get(index)?;
        Some(Origin::Key {
            path: self.config.path.display().to_string(),
            section: key.section.clone(),
            key: key.name.clone(),
        })
    }

    /// Returns each setting in effect that is not on the command line: its source, and its flag.
    pub(super) fn in_effect(&self, matches: &ArgMatches) -> Vec<(Origin, String)> {
        let (mut found, mut names) = (Vec::new(), BTreeSet::new());
        let (mut command, mut matches) = (&self.command, matches);
        let mut section = None;
        while let Some((name, of_sub)) = matches.subcommand() {
            let Some(sub) = command.find_subcommand(name) else { break };
            (command, matches) = (sub, of_sub);
            let section = *section.get_or_insert(name);
            for arg in command.get_arguments() {
                let origin = self.origin(section, arg, matches);
                let new = origin.filter(|origin| names.insert(origin.to_string()));
                found.extend(new.map(|origin| (origin, flag(arg))));
            }
        }
        found
    }

    /// Returns the source of a flag's value, if it is neither the command line nor the program.
    fn origin(&self, section: &str, arg: &Arg, matches: &ArgMatches) -> Option<Origin> {
        let id = arg.get_id();
        // Asking for the source of a flag that the matches do not know would panic.
        matches.try_contains_id(id.as_str()).ok()?;
        match matches.value_source(id.as_str())? {
            ValueSource::EnvVariable => of_variable(arg),
            ValueSource::DefaultValue => {
                let mut keys = self.config.keys.iter();
                let index = keys.position(|key| key.section == section && key.id == *id)?;
                self.of_key(index)
            }
            _ => None,
        }
    }
}

/// Returns how far the source of a value is from the command line: 0 for a flag, 1 for an environment variable, 2 for
/// the file and defaults. Returns `None` without a value.
pub(super) fn distance(matches: &ArgMatches, id: &str) -> Option<u8> {
    Some(match matches.value_source(id)? {
        ValueSource::CommandLine => 0,
        ValueSource::EnvVariable => 1,
        _ => 2,
    })
}

/// Returns an error without its usage text, which lists every setting that was given.
fn problem(error: &clap::Error) -> String {
    let text = error.to_string();
    text.split_once("\nUsage: ").map_or(text.as_str(), |(problem, _)| problem).to_owned()
}

fn parse_with(
    command: Command,
    config: &ConfigFile,
    args: &[OsString],
) -> Result<ArgMatches, clap::Error> {
    config.apply(command).try_get_matches_from(args)
}

/// Returns the flag as a user would write it.
fn flag(arg: &Arg) -> String {
    arg.get_long().map_or_else(|| arg.to_string(), |long| format!("--{long}"))
}

/// Returns the variable that sets a flag, if it is set.
fn of_variable(arg: &Arg) -> Option<Origin> {
    let name = arg.get_env()?;
    let value = variable(name)?.to_string_lossy().into_owned();
    let value = if value.contains("://") { shown_url(&value) } else { value };
    let value = (!arg.is_hide_env_values_set()).then_some(value);
    Some(Origin::Variable { name: name.to_string_lossy().into_owned(), value })
}

fn for_each_flag(command: &Command, each: &mut impl FnMut(&Arg)) {
    command.get_arguments().for_each(&mut *each);
    command.get_subcommands().for_each(|sub| for_each_flag(sub, each));
}

/// Returns the same commands without some of their variables.
fn without_variables(command: Command, which: &dyn Fn(&OsStr) -> bool) -> Command {
    let deaf = |arg: Arg| {
        let named = arg.get_env().is_some_and(which);
        if named { arg.env(None::<&'static str>) } else { arg }
    };
    command.mut_args(deaf).mut_subcommands(|sub| without_variables(sub, which))
}

/// Warns of unknown variables, because a user would take a misspelt variable for an effective one.
fn warn_of_unknown(command: &Command) {
    let mut known: BTreeSet<String> = WITHOUT_FLAG.map(str::to_owned).into();
    let mut learn =
        |arg: &Arg| known.extend(arg.get_env().map(|name| name.to_string_lossy().into_owned()));
    for_each_flag(command, &mut learn);
    let given = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let given = given.filter_map(|(name, _)| name.into_string().ok());
    let given = given.filter(|name| !name.starts_with(OF_BUILD));
    for name in given.filter(|name| name.starts_with("MINTBENCH_") && !known.contains(name)) {
        let near = nearest(&name, known.iter().map(String::as_str));
        let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        say(format_args!("warning: the variable {name} is unknown and changes nothing{near}"));
    }
}
