//! Text in columns, without lines between them.

/// Formats rows as lines. The first `named` columns are aligned left, numbers right, with two blanks
/// between columns.
pub fn grid(named: usize, rows: &[Vec<String>]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_to_the_left_and_numbers_to_the_right() {
        let rows = [vec!["class", "p50"], vec!["hit", "1.04 ms"], vec![""]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(grid(1, &rows), "class      p50\nhit    1.04 ms\n\n");
    }
}
