//! Periods of time in the notation of ISO 8601, such as `P90D`.

use std::fmt;
use std::str::FromStr;

use crate::base::clock::Seconds;

/// Longest period: 1000 years. Sums with times stay far from the largest number.
const SECONDS_MAX: u64 = 1000 * YEAR;
const DAY: u64 = 86_400;

/// Lengths of a year and a month, which depend on the calendar. These are the lengths that .NET, in which Key
/// Vault is written, gives them.
const YEAR: u64 = 365 * DAY;
const MONTH: u64 = 30 * DAY;

const DATE_UNITS: &[(char, u64)] = &[('Y', YEAR), ('M', MONTH), ('W', 7 * DAY), ('D', DAY)];
const TIME_UNITS: &[(char, u64)] = &[('H', 3_600), ('M', 60), ('S', 1)];

/// Reason why a text is not a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a period; write it as in ISO 8601, such as P90D, P2Y or PT48H")]
pub struct ParsePeriodError(pub String);

/// A period of time. `Display` returns the original spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    text: String,
    length: Seconds,
}

impl Period {
    /// Returns a period of whole days.
    pub fn of_days(days: u64) -> Self {
        Self { text: format!("P{days}D"), length: Seconds(days.saturating_mul(DAY)) }
    }

    /// Returns its length. A year has 365 days and a month has 30.
    pub const fn length(&self) -> Seconds {
        self.length
    }
}

impl FromStr for Period {
    type Err = ParsePeriodError;

    fn from_str(text: &str) -> Result<Self, ParsePeriodError> {
        let wrong = || ParsePeriodError(text.to_owned());
        let seconds = seconds(text).filter(|seconds| *seconds <= SECONDS_MAX).ok_or_else(wrong)?;
        Ok(Self { text: text.to_owned(), length: Seconds(seconds) })
    }
}

fn seconds(text: &str) -> Option<u64> {
    let text = text.strip_prefix('P')?;
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None if text.is_empty() => return None,
        None => (text, ""),
    };
    sum(date, DATE_UNITS)?.checked_add(sum(time, TIME_UNITS)?)
}

/// Sums parts such as `1Y6M`. Each unit stands at most once, the longest first.
fn sum(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let (mut rest, mut total) = (text, 0_u64);
    for (unit, length) in units {
        if let Some((digits, after)) = rest.split_once(*unit) {
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let count: u64 = digits.parse().ok()?;
            total = total.checked_add(count.checked_mul(*length)?)?;
            rest = after;
        }
    }
    rest.is_empty().then_some(total)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

crate::base::ids::serde_as_text!(Period);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn periods_are_sums_of_their_parts() {
        for (text, days) in
            [("P90D", 90), ("P2Y", 730), ("P18M", 540), ("P1Y2M3D", 428), ("P4W", 28), ("PT48H", 2)]
        {
            let period: Period = text.parse().unwrap();
            assert_eq!(
                (period.length(), period.to_string()),
                (Seconds(days * DAY), text.to_owned())
            );
        }
        let period: Period = "P1DT1H2M3S".parse().unwrap();
        assert_eq!(period.length(), Seconds(DAY + 3_723));
        assert_eq!(Period::of_days(30), "P30D".parse().unwrap());
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "90D",
            "p90d",
            "P-1D",
            "P1.5D",
            "P1D2Y",
            "P1H",
            "PT1D",
            "P1DT",
            "P99999999999999999999D",
            "P1001Y",
            "P1D ",
            "PDT1H",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,20}", shaped in "P?[0-9YMWDTHS]{0,20}") {
            let _ = (text.parse::<Period>(), shaped.parse::<Period>());
        }
    }
}
