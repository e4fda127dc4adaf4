//! Standard output and standard error; no other module writes to them. Text from outside (names in
//! results, scenarios and world files, arguments, answers) cannot control the terminal.
//!
//! A result goes through [`print`] or one of its siblings, whose error is an exit code of its own:
//! a command never ends with success after its result was lost.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use crate::base::printable::{coloured, printable};

/// Output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output, for results.
    Output,
    /// Standard error, for diagnostics.
    Error,
}

impl Stream {
    /// Returns true if the stream is a terminal.
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Self::Output => io::stdout().is_terminal(),
            Self::Error => io::stderr().is_terminal(),
        }
    }

    /// Shows a text that may be lost: progress, diagnostics, the results of an interrupted command.
    pub(super) fn show(self, text: &str) {
        let _ = self.write(text);
    }

    /// Writes a text. Terminal control characters are shown as text.
    fn write(self, text: &str) -> io::Result<()> {
        self.write_as_is(printable(text).as_bytes())
    }

    /// Writes a text of our own in colours.
    fn write_coloured(self, text: &str) -> io::Result<()> {
        self.write_as_is(coloured(text).as_bytes())
    }

    fn write_as_is(self, bytes: &[u8]) -> io::Result<()> {
        // Write once, so that no other thread's text comes in between.
        let write = |mut out: Box<dyn Write>| out.write_all(bytes).and_then(|()| out.flush());
        match self {
            Self::Output => write(Box::new(io::stdout().lock())),
            Self::Error => write(Box::new(io::stderr().lock())),
        }
    }
}

/// Loss of a result: standard output cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result to standard output")]
pub(super) struct PrintError(#[source] io::Error);

impl From<serde_json::Error> for PrintError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.into())
    }
}

/// Prints a result to standard output. Terminal control characters are shown as text.
///
/// # Errors
/// Returns [`PrintError`] when the output is lost. A closed pipe is no loss: its reader has enough.
pub(super) fn print(text: &str) -> Result<(), PrintError> {
    kept(Stream::Output.write(text))
}

/// Prints a text of our own in colours.
///
/// # Errors
/// Returns the error of [`print`].
pub(super) fn print_coloured(text: &str) -> Result<(), PrintError> {
    kept(Stream::Output.write_coloured(text))
}

/// Prints bytes without text from outside, or text that another program needs unchanged.
///
/// # Errors
/// Returns the error of [`print`].
pub(super) fn print_as_is(bytes: &[u8]) -> Result<(), PrintError> {
    kept(Stream::Output.write_as_is(bytes))
}

fn kept(written: io::Result<()>) -> Result<(), PrintError> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(PrintError(error)),
        _ => Ok(()),
    }
}

/// Writes a line of diagnostics. It is not an error if the reader has gone away.
pub(super) fn say(line: impl fmt::Display) {
    Stream::Error.show(&format!("{line}\n"));
}

/// Writer of the log. It writes each event at once, shows escapes of text from outside as text, and
/// keeps the colours of the log itself.
#[derive(Debug)]
pub(super) struct Log {
    /// True if the log has colours.
    pub(super) colours: bool,
}

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        if self.colours {
            Stream::Error.write_coloured(&text)?;
        } else {
            Stream::Error.write(&text)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
