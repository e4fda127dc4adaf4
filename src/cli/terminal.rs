//! Standard output and standard error; no other module writes to them. Text from outside (names in
//! results, scenarios and world files, arguments, answers) cannot control the terminal.

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

    /// Writes a text. Terminal control characters are shown as text.
    ///
    /// # Errors
    /// Returns an error when the reader has gone away.
    pub(super) fn write(self, text: &str) -> io::Result<()> {
        self.write_as_is(printable(text).as_bytes())
    }

    /// Writes a text of our own in colours.
    ///
    /// # Errors
    /// Returns an error when the reader has gone away.
    pub(super) fn write_coloured(self, text: &str) -> io::Result<()> {
        self.write_as_is(coloured(text).as_bytes())
    }

    /// Writes bytes without text from outside, or text that another program needs unchanged.
    ///
    /// # Errors
    /// Returns an error when the reader has gone away.
    pub(super) fn write_as_is(self, bytes: &[u8]) -> io::Result<()> {
        // Write once, so that no other thread's text comes in between.
        let write = |mut out: Box<dyn Write>| out.write_all(bytes).and_then(|()| out.flush());
        match self {
            Self::Output => write(Box::new(io::stdout().lock())),
            Self::Error => write(Box::new(io::stderr().lock())),
        }
    }
}

/// Writes a line of diagnostics. It is not an error if the reader has gone away.
pub(super) fn say(line: impl fmt::Display) {
    let _ = Stream::Error.write(&format!("{line}\n"));
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
