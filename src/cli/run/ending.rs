//! The last lines of a run: where its result is.

use std::io::{self, IsTerminal};
use std::path::Path;

use crate::report::table::wrapped;

/// The width of the text on a terminal.
const COLUMNS: usize = 80;

/// Names the folder, and the report if there is one. `mintbench report` writes it again.
pub(super) fn places(folder: &Path, report: Option<&Path>) -> String {
    let folder_text = folder.display();
    match report {
        Some(report) => format!("results   {folder_text}\nreport    {}\n", report.display()),
        None => format!("results   {folder_text}\nreport    {}\n", again(folder)),
    }
}

/// The command that draws a folder.
pub(super) fn again(folder: &Path) -> String {
    let path = folder.display().to_string();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if path.chars().all(is_safe) {
        return format!("mintbench report {path}");
    }
    format!("mintbench report '{}'", path.replace('\'', r"'\''"))
}

/// The text as standard output wants it: lines are broken on a terminal, and whole for a program that reads
/// them.
pub(super) fn laid_out(text: String) -> String {
    if io::stdout().is_terminal() { wrapped(&text, COLUMNS) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted_whatever_the_folder_is_called() {
        assert_eq!(again(Path::new("results/a-1")), "mintbench report results/a-1");
        assert_eq!(again(Path::new("it's 1")), r"mintbench report 'it'\''s 1'");
    }
}
