//! Errors of the operating system, by their names.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// Number of an error of the operating system, if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemError(Option<i32>);

impl SystemError {
    /// Returns the system error behind `error`.
    pub(super) fn of(error: &io::Error) -> Self {
        Self(error.raw_os_error())
    }
}

impl fmt::Display for SystemError {
    /// Formats the error with its name, like `Protocol error (EPROTO)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(Errno::from_raw) {
            Some(errno) => write!(f, "{} ({errno:?})", errno.desc()),
            None => f.write_str("other error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_its_name() {
        let shown = |error: &io::Error| SystemError::of(error).to_string();
        let known = io::Error::from_raw_os_error(nix::libc::EPROTO);
        assert_eq!(shown(&known), "Protocol error (EPROTO)");
        assert_eq!(shown(&io::Error::other("?")), "other error");
    }
}
