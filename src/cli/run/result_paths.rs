//! Last lines of a run, which name the place of its result.

use std::path::Path;

use crate::base::printable::printable;
use crate::cli::terminal::Stream;
use crate::harness::record::measured::Cut;
use crate::harness::report::html;
use crate::harness::report::text::layout::wrapped;

/// Width of the text on a terminal, in columns.
const COLUMNS: usize = 80;

/// Returns the lines that name the folder, the report, and the command that draws the report.
///
/// The command appears if the run was cut short, or if there is no report.
pub(super) fn lines(folder: &Path, cut: Option<Cut>) -> String {
    let report = Some(folder.join(html::FILE)).filter(|report| report.exists());
    let command = (cut.is_some() || report.is_none()).then(|| report_command(folder));
    let lines = [
        Some(format!("results   {}\n", folder.display())),
        report.map(|report| format!("report    {}\n", report.display())),
        command.map(|command| format!("again     {command}\n")),
    ];
    lines.into_iter().flatten().collect()
}

/// Returns the command that draws the report of a folder.
pub(super) fn report_command(folder: &Path) -> String {
    let path = folder.display().to_string();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if path.chars().all(is_safe) {
        return format!("mintbench report {path}");
    }
    format!("mintbench report '{}'", path.replace('\'', r"'\''"))
}

/// Returns the text for standard output: with broken lines for a terminal, with whole lines for a
/// program.
pub(super) fn laid_out(text: &str) -> String {
    let text = printable(text);
    if Stream::Output.is_terminal() { wrapped(&text, COLUMNS) } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_report_names_the_command_that_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let said = lines(folder.path(), None);
        assert!(said.contains("again     mintbench report "), "{said}");
        std::fs::write(folder.path().join(html::FILE), "").unwrap();
        let said = lines(folder.path(), None);
        assert!(said.ends_with("report.html\n") && !said.contains("again"), "{said}");
    }

    #[test]
    fn the_command_can_be_pasted_whatever_the_folder_is_called() {
        assert_eq!(report_command(Path::new("results/a-1")), "mintbench report results/a-1");
        assert_eq!(report_command(Path::new("it's 1")), r"mintbench report 'it'\''s 1'");
    }
}
