//! The least number of nodes that meets every condition.

use super::missed::Missed;

/// Result of the search for the least number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Least {
    /// Least number of nodes, or none if the largest allowed number is not enough.
    pub(super) nodes: Option<usize>,
    /// Conditions that one node fewer misses, or the largest number if none is enough. Empty if no
    /// smaller number is allowed.
    pub(super) fewer: Vec<Missed>,
}

/// Searches from `guess`, first with doubled steps, then by halving the gap. `missed` returns the
/// conditions that a number of nodes misses. The result meets all of them; one node fewer was tried and
/// does not.
///
/// # Errors
/// Returns the errors of `missed`.
pub(super) fn least<E>(
    guess: usize,
    (min, max): (usize, usize),
    missed: &mut dyn FnMut(usize) -> Result<Vec<Missed>, E>,
) -> Result<Least, E> {
    // `low` misses a condition, or is one below the minimum.
    let (mut low, mut fewer, mut high) = (min - 1, Vec::new(), None);
    let (mut nodes, mut step) = (guess.clamp(min, max), 1);
    loop {
        let faults = missed(nodes)?;
        if faults.is_empty() {
            high = Some(nodes);
        } else {
            (low, fewer) = (nodes, faults);
        }
        nodes = match high {
            None if low == max => return Ok(Least { nodes: None, fewer }),
            None => (low + step).min(max),
            Some(high) if high - low == 1 => return Ok(Least { nodes: Some(high), fewer }),
            // Step down from the guess until a number fails, then halve the gap.
            Some(high) if low < min => high.saturating_sub(step).max(min),
            Some(high) => usize::midpoint(low, high),
        };
        step *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn found(guess: usize, truth: usize, tried: &mut Vec<usize>) -> Least {
        let mut missed = |nodes| {
            tried.push(nodes);
            let faults = (nodes < truth).then_some(Missed::Target { used: 0.9, target: 0.6 });
            Ok::<_, Infallible>(faults.into_iter().collect())
        };
        let Ok(least) = least(guess, (2, 4096), &mut missed);
        least
    }

    #[test]
    fn the_least_number_is_found_from_any_guess_and_one_fewer_was_tried() {
        for truth in [2, 3, 4, 9, 100, 4095, 4096] {
            for guess in [1, 2, 3, 10, 150, 4096] {
                let mut tried = Vec::new();
                let least = found(guess, truth, &mut tried);
                assert_eq!(least.nodes, Some(truth), "from {guess}");
                assert!(truth == 2 || tried.contains(&(truth - 1)), "{tried:?}");
                assert_eq!(least.fewer.is_empty(), truth == 2);
                assert!(tried.len() < 30, "{tried:?}");
            }
        }
    }

    #[test]
    fn where_no_number_does_the_faults_of_the_largest_are_told() {
        let mut tried = Vec::new();
        let least = found(1, 5000, &mut tried);
        assert_eq!((least.nodes, least.fewer.len()), (None, 1));
        assert_eq!(tried.last(), Some(&4096));
    }
}
