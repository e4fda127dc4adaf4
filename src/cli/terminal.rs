//! Standard output and standard error, which nothing else here writes to: text from outside (names in results,
//! scenarios and world files, arguments, answers) commands no terminal.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use crate::printable::{coloured, printable};

/// One of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Results.
    Output,
    /// Diagnostics.
    Error,
}

impl Stream {
    /// Whether somebody looks at it.
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Self::Output => io::stdout().is_terminal(),
            Self::Error => io::stderr().is_terminal(),
        }
    }

    /// Writes a text; what would command a terminal is shown as text.
    ///
    /// # Errors
    /// When the reader has gone away.
    pub(super) fn write(self, text: &str) -> io::Result<()> {
        self.write_as_is(printable(text).as_bytes())
    }

    /// Writes a text of our own in colours.
    ///
    /// # Errors
    /// When the reader has gone away.
    pub(super) fn write_coloured(self, text: &str) -> io::Result<()> {
        self.write_as_is(coloured(text).as_bytes())
    }

    /// Writes what holds no text from outside, or text that a program asked for as it is.
    ///
    /// # Errors
    /// When the reader has gone away.
    pub(super) fn write_as_is(self, bytes: &[u8]) -> io::Result<()> {
        // One write: no other thread's text comes in between.
        let write = |mut out: Box<dyn Write>| out.write_all(bytes).and_then(|()| out.flush());
        match self {
            Self::Output => write(Box::new(io::stdout().lock())),
            Self::Error => write(Box::new(io::stderr().lock())),
        }
    }
}

/// Writes a line of diagnostics. A reader that has gone away is no error.
pub(super) fn say(line: impl fmt::Display) {
    let _ = Stream::Error.write(&format!("{line}\n"));
}

/// The writer of the log: it writes each event at once, shows escapes of text from outside as text, and keeps the
/// colours that the log puts in.
#[derive(Debug)]
pub(super) struct Log {
    /// Whether it has colours.
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
