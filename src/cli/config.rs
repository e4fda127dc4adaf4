//! The `--config` file: its keys become the defaults of the flags of the same name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Command;

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("cannot read the configuration file `{path}`", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is not TOML: {message}", path = path.display())]
    Syntax { path: PathBuf, message: String },
    #[error(
        "`{path}`: [{section}] is not a command; use one of: {known}",
        path = path.display()
    )]
    UnknownSection { path: PathBuf, section: String, known: String },
    #[error(
        "`{path}`: [{section}] has the key `{key}`, which is not a flag; see `mintbench {section} --help`",
        path = path.display()
    )]
    UnknownKey { path: PathBuf, section: String, key: String },
    #[error(
        "`{path}`: the value of `{key}` in [{section}] is a {kind}; write a string, a number, a boolean or a list of them",
        path = path.display()
    )]
    Value { path: PathBuf, section: String, key: String, kind: &'static str },
}

/// Reads the file that `args` or the environment names, if any, into the defaults of `command`.
pub(super) fn apply(command: Command, args: &[OsString]) -> Result<Command, ConfigError> {
    let Some(path) = config_path(args) else { return Ok(command) };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    let file: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: path.clone(),
        message: error.to_string(),
    })?;
    file.into_iter()
        .try_fold(command, |command, (section, keys)| with_section(command, &path, &section, keys))
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
    std::env::var_os("MINTBENCH_CONFIG").map(PathBuf::from)
}

fn with_section(
    command: Command,
    path: &Path,
    section: &str,
    keys: toml::Value,
) -> Result<Command, ConfigError> {
    let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let toml::Value::Table(keys) = keys else {
        return Err(unknown_section(path, section, &known));
    };
    if !known.contains(&section) {
        return Err(unknown_section(path, section, &known));
    }
    let mut defaults = Vec::new();
    for (key, value) in keys {
        let id = flag_id(&command, section, &key).ok_or_else(|| ConfigError::UnknownKey {
            path: path.to_owned(),
            section: section.to_owned(),
            key: key.clone(),
        })?;
        let values = texts(&value).map_err(|kind| ConfigError::Value {
            path: path.to_owned(),
            section: section.to_owned(),
            key: key.clone(),
            kind,
        })?;
        defaults.push((id, values));
    }
    Ok(command.mut_subcommand(section, |sub| {
        defaults
            .into_iter()
            .fold(sub, |sub, (id, values)| sub.mut_arg(id, |arg| arg.default_values(values)))
    }))
}

fn unknown_section(path: &Path, section: &str, known: &[&str]) -> ConfigError {
    ConfigError::UnknownSection {
        path: path.to_owned(),
        section: section.to_owned(),
        known: known.join(", "),
    }
}

fn flag_id(command: &Command, section: &str, key: &str) -> Option<String> {
    let flag = command
        .find_subcommand(section)?
        .get_arguments()
        .find(|arg| arg.get_long() == Some(key))?;
    Some(flag.get_id().as_str().to_owned())
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
