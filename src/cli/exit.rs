//! Exit codes of the process, and the errors that lead to them.

use super::terminal::{PrintError, say};

/// Exit code of the process. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded, or the verdict is a pass.
    Pass = 0,
    /// There is a measured regression or a failed check.
    Failed = 1,
    /// The command line, a file or the environment is wrong.
    Usage = 2,
    /// The evidence does not suffice for a verdict.
    Inconclusive = 3,
    /// Nothing can be said about the target: the generator or the host was the bottleneck.
    Invalid = 4,
    /// A service-level objective was missed.
    SloBreached = 5,
    /// There is no baseline, or it cannot be repeated here.
    NoBaseline = 6,
    /// The command was stopped by Ctrl-C.
    Interrupted = 130,
}

/// Prints an error with its causes, and returns the exit code.
pub(super) fn refuse(error: &dyn std::error::Error) -> Exit {
    print_error(error);
    Exit::Usage
}

/// Returns the exit code of a command whose only result was printed.
pub(super) fn printed(result: Result<(), PrintError>) -> Exit {
    result.map_or_else(|error| refuse(&error), |()| Exit::Pass)
}

/// Prints an error with its causes.
pub(super) fn print_error(error: &dyn std::error::Error) {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    say(format_args!("error: {}", said.join(": ")));
}
