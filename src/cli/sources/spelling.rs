//! Suggestions for misspelt names.

/// Maximum number of slips in a misspelt name. Names with more are not suggested.
const SLIPS_MAX: usize = 3;

/// Returns the known name that `name` most likely misspells.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Each extra letter is a slip, so names of very different length are not compared letter by letter.
    let near = known.filter(|known| known.len().abs_diff(name.len()) <= 4 * SLIPS_MAX);
    let near = near.map(|known| (slips(name, known), known)).min()?;
    (near.0 <= SLIPS_MAX.min(name.len() / 3)).then_some(near.1)
}

/// Returns the number of letters to insert, remove or replace to turn `a` into `b` (Levenshtein
/// distance).
fn slips(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (index, own) in a.chars().enumerate() {
        let (mut diagonal, mut left) = (index, index + 1);
        for (above, other) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(own != other);
            diagonal = std::mem::replace(above, replaced.min(*above + 1).min(left + 1));
            left = *above;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("rate", "rate", 0),
            ("rte", "rate", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((slips(a, b), slips(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn a_slip_is_told_from_another_name() {
        let known = ["MINTBENCH_RUN_RATE", "MINTBENCH_RUN_SLO", "MINTBENCH_LOG"];
        assert_eq!(nearest("MINTBENCH_RUN_RTE", known.into_iter()), Some("MINTBENCH_RUN_RATE"));
        assert_eq!(nearest("MINTBENCH_RUN_COLOUR", known.into_iter()), None);
        assert_eq!(nearest("x", known.into_iter()), None);
    }
}
