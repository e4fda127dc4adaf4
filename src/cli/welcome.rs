//! Text that `mintbench` alone prints.

use super::exit::Exit;
use super::terminal::say;

/// Three commands to begin with.
const TEXT: &str = "\
Three things to try:

  mintbench serve                    a broker on this machine: programs get tokens as on Azure
  mintbench exec -- python3 app.py   one program with a managed identity, nothing else to start
  mintbench run                      the speed of the token path: percentiles, a report, a verdict

`mintbench --help` lists all commands.";

/// Prints the text. A command is missing, so the exit code is that of a wrong command line.
pub(super) fn main() -> Exit {
    say(TEXT);
    Exit::Usage
}
