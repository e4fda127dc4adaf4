//! Lines about the attempts of a run, in its terminal output.

use super::statement::cell;
use crate::harness::document::run::attempts::{Attempt, Attempts};

/// Returns a line for each attempt; nothing if only one was allowed.
pub(super) fn lines(attempts: Option<&Attempts>) -> String {
    let Some(Attempts { max, list, .. }) = attempts else { return String::new() };
    let line =
        |attempt: &Attempt| format!("attempt   {} of {max}{}\n", attempt.number, said(attempt));
    list.iter().map(line).collect()
}

fn said(Attempt { p50_us, p99_us, left_open, .. }: &Attempt) -> String {
    match left_open {
        None => " decided it".to_owned(),
        Some(open) => format!(": p50 {}, p99 {}; open: {open}", cell(*p50_us), cell(*p99_us)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::document::percentiles::{Bounded, Standing};

    fn attempt(number: u32, left_open: Option<&str>) -> Attempt {
        let us =
            |value, standing| Some(Bounded { value, lower: Some(1.0), upper: value, standing });
        Attempt {
            number,
            started_at: "2026-11-29T00:00:00Z".to_owned(),
            seed: number.into(),
            exit_code: 3,
            p50_us: us(61.2, Standing::Measured),
            p99_us: us(3_100.0, Standing::Bounded),
            slo: Vec::new(),
            left_open: left_open.map(str::to_owned),
        }
    }

    #[test]
    fn the_attempts_before_the_reported_one_are_told_with_what_they_left_open() {
        let list = vec![attempt(1, Some("p99<2ms: cannot tell")), attempt(2, None)];
        let attempts = Attempts { max: 3, decided: true, chance: 0.025 / 3.0, list };
        assert_eq!(
            lines(Some(&attempts)),
            "attempt   1 of 3: p50 61.2 us, p99 <3.10 ms; open: p99<2ms: cannot tell\n\
             attempt   2 of 3 decided it\n"
        );
        assert_eq!(lines(None), "");
    }
}
