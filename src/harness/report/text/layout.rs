//! Layout of text: rows in columns, and lines broken at blanks.

/// Formats rows as lines. The first `named` columns are aligned left, numbers right, with two blanks
/// between columns.
pub(crate) fn grid(named: usize, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column| rows.iter().map(|row| cell(row, column).chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = widths.iter().enumerate().map(|(column, width)| {
            let text = cell(row, column);
            if column < named { format!("{text:width$}") } else { format!("{text:>width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Width of the labels of lines.
const LABEL: usize = 10;

/// Breaks lines at blanks to fit into `width` columns. Continued lines are indented by the width of a
/// label.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            let length = word.trim_end().chars().count();
            if column > LABEL && column + length > width {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.push_str(&" ".repeat(LABEL));
                column = LABEL;
            }
            out.push_str(word);
            column += word.chars().count();
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_to_the_left_and_numbers_to_the_right() {
        let rows = [vec!["class", "p50"], vec!["hit", "1.04 ms"], vec![""]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(grid(1, &rows), "class      p50\nhit    1.04 ms\n\n");
    }

    #[test]
    fn long_lines_are_broken_at_blanks_beside_their_label() {
        let text = "note      one two three four\nshort\n";
        assert_eq!(wrapped(text, 20), "note      one two\n          three four\nshort\n");
        // A word that cannot be broken stays whole.
        assert_eq!(
            wrapped("results   a/very/long/path/indeed", 20),
            "results   a/very/long/path/indeed\n"
        );
    }
}
