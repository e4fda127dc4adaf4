//! Messages of the command-line parser, with advice on what to do.

use std::error::Error;
use std::ffi::OsString;
use std::net::AddrParseError;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit::{Exit, printed};
use super::sources::Origin;
use super::terminal::{PrintError, Stream, print, print_coloured};
use crate::base::printable::name;
use crate::base::secret::shown_url;
use crate::harness::scenario::spec::Scenario;

/// Advice for a value that is no duration.
pub(super) const TIME_ADVICE: &str = "write a number with a unit, such as 10s, 500ms or 1h";

/// Prints the message of the parser, which may be the requested help. `origin` is the source of the
/// setting at fault, if it is not in `args`.
pub(super) fn explain(mut error: clap::Error, origin: Option<&Origin>, args: &[OsString]) -> Exit {
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            advise(&mut error, of_command);
        }
        ErrorKind::UnknownArgument => {
            advise(&mut error, |given| of_negative(given, args));
        }
        ErrorKind::ValueValidation => {
            let given = text(&error, ContextKind::InvalidValue);
            if given.is_some_and(|given| is_negative(&given)) {
                suggest(&mut error, "write a number that is not negative".to_owned());
            }
        }
        _ => {}
    }
    clean(&mut error);
    if error.use_stderr() {
        let said = advised(&error);
        let said = said.strip_prefix("error: ").unwrap_or(&said);
        let origin = origin.map_or_else(String::new, |origin| format!("{origin}: "));
        Stream::Error.show(&format!("error: {origin}{said}"));
        return Exit::Usage;
    }
    printed(print_help(&error))
}

/// Returns the message of the parser. It ends with advice where the parser has words of a library.
fn advised(error: &clap::Error) -> String {
    let said = error.to_string();
    let Some(cause) = error.source() else { return said };
    match advice(cause) {
        Some(advice) => said.replacen(&format!(": {cause}"), &format!("; {advice}"), 1),
        None => said,
    }
}

/// Returns what to write in place of a value that is not what its type expects.
fn advice(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<ParseIntError>() {
        return Some(of_integer(error).to_owned());
    }
    if cause.is::<ParseFloatError>() {
        return Some("write a number, such as 1000 or 0.5".to_owned());
    }
    if cause.is::<humantime::DurationError>() {
        return Some(TIME_ADVICE.to_owned());
    }
    let text = cause.to_string();
    if cause.is::<AddrParseError>() {
        let has_port = text.contains("socket");
        let port =
            if has_port { " and a port, such as 127.0.0.1:8080" } else { ", such as 127.0.0.5" };
        return Some(format!("write an IP address{port}"));
    }
    let (low, high) = text.split_once(" is not in ")?.1.split_once("..=")?;
    Some(format!("use {low} to {high}"))
}

fn of_integer(error: &ParseIntError) -> &'static str {
    match error.kind() {
        IntErrorKind::Zero => "write a number above 0",
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "write a smaller number",
        _ => "write a whole number, such as 10",
    }
}

fn print_help(error: &clap::Error) -> Result<(), PrintError> {
    let help = error.render();
    let plain = !Stream::Output.is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain { print(&help.to_string()) } else { print_coloured(&help.ansi().to_string()) }
}

/// Cleans the given text that the parser repeats. A URL may hold a password. Terminal control characters
/// are replaced, because they would be left out when the error becomes text.
fn clean(error: &mut clap::Error) {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue]
    {
        if let Some(given) = text(error, kind) {
            let shown = if given.contains("://") { shown_url(&given) } else { given };
            error.insert(kind, ContextValue::String(name(&shown)));
        }
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Adds advice on the wrong argument or command, if there is any.
fn advise(error: &mut clap::Error, advice: impl FnOnce(&str) -> Option<String>) {
    let kinds = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg];
    let given = kinds.into_iter().find_map(|kind| text(error, kind));
    if let Some(advice) = given.and_then(|given| advice(&given)) {
        error.remove(ContextKind::SuggestedSubcommand);
        suggest(error, advice);
    }
}

fn suggest(error: &mut clap::Error, advice: String) {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(advice)]));
}

/// Suggests a command for an unknown command that is a scenario or a URL.
fn of_command(given: &str) -> Option<String> {
    if given.contains("://") {
        return Some(format!("to measure an endpoint: mintbench run {}", shown_url(given)));
    }
    let runs = given.parse::<Scenario>().is_ok();
    runs.then(|| format!("to run a scenario: mintbench run {given}"))
}

fn is_negative(given: &str) -> bool {
    given
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// Explains a negative value, as in `--duration -5s`, which the parser takes for a flag.
fn of_negative(given: &str, args: &[OsString]) -> Option<String> {
    let mut args = args.iter().filter_map(|arg| arg.to_str());
    let mut before = args.next()?;
    for arg in args {
        if is_negative(given) && arg.starts_with(given) {
            let taken = format!("`{arg}` is taken for a flag");
            let of_flag = before.starts_with('-');
            return Some(if of_flag {
                format!("{taken}; write a value of {before} that is not negative")
            } else {
                format!("{taken}, and no flag begins with a digit")
            });
        }
        before = arg;
    }
    None
}
