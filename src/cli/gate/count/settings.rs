//! Turns flags into the server that is counted.

use crate::cli::gate::count_args::CountArgs;
use crate::harness::dialect::protocol::{Header, HeaderError};
use crate::harness::dialect::url::{HttpUrl, UrlError};
use crate::harness::gate::count::counting;
use crate::harness::gate::count::server::{CommandLine, Kind, PORT, PROGRAM};

/// Reasons why the flags do not describe a count.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli::gate) enum CountSettingsError {
    #[error("--command has a quote without its end")]
    Quote,
    #[error("--{flag} has to contain `{place}`, {why}")]
    Lacks { flag: &'static str, place: &'static str, why: &'static str },
    #[error("--url is asked over TLS; a server is counted over plain HTTP")]
    Tls,
    #[error("--url cannot be used")]
    Url(#[from] UrlError),
    #[error("--header cannot be used")]
    Header(#[from] HeaderError),
}

/// Returns the kind of server that both builds are.
pub(super) fn kind(args: &CountArgs) -> Result<Kind, CountSettingsError> {
    let Some(command) = &args.command else {
        return Ok(Kind::Broker { user_assigned: counting::misses() });
    };
    let words = words(command).ok_or(CountSettingsError::Quote)?;
    let url = args.url.clone().unwrap_or_default();
    let lacks = |flag, place, why| CountSettingsError::Lacks { flag, place, why };
    if !command.contains(PROGRAM) {
        return Err(lacks("command", PROGRAM, "in whose place --base and --candidate are put"));
    }
    for (flag, text) in [("command", command), ("url", &url)] {
        if !text.contains(PORT) {
            return Err(lacks(flag, PORT, "since each server gets a port of its own"));
        }
    }
    let known: HttpUrl = url.replace(PORT, "1").parse()?;
    if known.scheme.as_str() != "http" {
        return Err(CountSettingsError::Tls);
    }
    let headers: Result<Vec<Header>, HeaderError> =
        args.header.iter().map(|header| header.parse()).collect();
    Ok(Kind::Command(CommandLine { words, url, headers: headers? }))
}

/// Splits a command into words, as a shell does with blanks and quotes. Nothing else is special. Returns none
/// if a quote has no end.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for char in line.chars() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_at_blanks_outside_quotes() {
        let split = |line| words(line).map(|words| words.join("|"));
        assert_eq!(split(" {program}  --port {port} "), Some("{program}|--port|{port}".to_owned()));
        assert_eq!(split("a 'b c' \"d 'e'\" ''"), Some("a|b c|d 'e'|".to_owned()));
        assert_eq!(split("a 'b"), None);
        assert_eq!(split(""), Some(String::new()));
    }
}
