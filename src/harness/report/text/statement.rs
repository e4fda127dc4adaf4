//! First lines of the result of a run: what was measured, what is only bounded, and what to do for more.

use std::fmt::{Result, Write};

use crate::base::clock::readable_us;
use crate::harness::document::percentiles::{Bounded, ResponsePercentiles, Standing};
use crate::harness::judge::ruling::Ruling;
use crate::harness::judge::validity::{Headline, QUIETER};

/// Formats a percentile for a table: `<1.04 ms` for an upper bound, `1.04 ms?` for one that nobody knows.
pub(crate) fn cell(of: Option<Bounded>) -> String {
    let Some(of) = of else { return "-".to_owned() };
    let time = readable_us(of.value);
    match of.standing {
        Standing::Measured | Standing::Recorded => time,
        Standing::Bounded => format!("<{time}"),
        Standing::Unknown => format!("{time}?"),
    }
}

/// Writes which percentiles were measured, which are only bounded, which are unknown, and one advice.
pub(super) fn write(text: &mut String, of: ResponsePercentiles, ruling: &Ruling) -> Result {
    let named = |standing| {
        let of_standing = move |of: &Bounded| of.standing == standing;
        of.named().into_iter().filter_map(move |(name, of)| Some((name, of.filter(of_standing)?)))
    };
    let times = |standing| {
        joined(named(standing).map(|(name, of)| format!("{name} {}", readable_us(of.value))))
    };
    let unknown = joined(named(Standing::Unknown).map(|(name, _)| name.to_owned()));
    if let Some(measured) = times(Standing::Measured) {
        writeln!(text, "measured  {measured}")?;
    }
    if let Some(bounded) = times(Standing::Bounded) {
        writeln!(text, "at most   {bounded}")?;
    }
    if let Some(unknown) = &unknown {
        writeln!(text, "unknown   {unknown}: too few independent requests beyond it")?;
    }
    let is_bounded = named(Standing::Bounded).next().is_some();
    // The remedy of the main disturbance, or else the usual one; and that for unknown percentiles.
    let disturbed = Headline::of(&ruling.disturbances).map(|headline| headline.remedy);
    let quieter = disturbed.or(is_bounded.then_some(QUIETER));
    let longer = unknown.map(|_| "raise --duration");
    let remedies: Vec<&str> = quieter.into_iter().chain(longer).collect();
    if remedies.is_empty() { Ok(()) } else { writeln!(text, "for more  {}", remedies.join("; ")) }
}

/// Returns the parts with commas between them, or none without parts.
fn joined(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::judge::validity::Reason;
    use crate::harness::nanos::Nanos;

    const fn of(us: f64, standing: Standing) -> Bounded {
        Bounded { value: us, lower: Some(0.0), upper: us, standing }
    }

    fn said(of: ResponsePercentiles, disturbances: Vec<Reason>) -> String {
        let mut text = String::new();
        write(&mut text, of, &Ruling { reasons: Vec::new(), disturbances }).unwrap();
        text
    }

    fn all(standing: Standing) -> ResponsePercentiles {
        let of = |us| Some(of(us, standing));
        ResponsePercentiles {
            p50: of(61.2),
            p90: of(88.0),
            p99: of(1_040.0),
            p999: of(12_200.0),
            max: of(122_100.0),
        }
    }

    #[test]
    fn a_disturbed_run_says_what_it_measured_and_what_to_do() {
        let mixed = ResponsePercentiles {
            p99: Some(of(1_040.0, Standing::Bounded)),
            p999: Some(of(2_200.0, Standing::Unknown)),
            max: Some(of(22_100.0, Standing::Bounded)),
            ..all(Standing::Measured)
        };
        let (p999, limit) = (Nanos::new(2_490_300), Nanos::new(104_300));
        assert_eq!(
            said(mixed, vec![Reason::Hiccup { p999, limit }]),
            "measured  p50 61.2 us, p90 88.0 us\n\
             at most   p99 1.04 ms, max 22.1 ms\n\
             unknown   p99.9: too few independent requests beyond it\n\
             for more  use a quieter machine or lower --rate; raise --duration\n"
        );
        let cells = [mixed.p50, mixed.p99, mixed.p999, None].map(cell);
        assert_eq!(cells, ["61.2 us", "<1.04 ms", "2.20 ms?", "-"]);
    }

    #[test]
    fn a_quiet_run_needs_no_advice_and_every_line_is_narrow() {
        let quiet = said(all(Standing::Measured), Vec::new());
        assert_eq!(
            quiet,
            "measured  p50 61.2 us, p90 88.0 us, p99 1.04 ms, p99.9 12.2 ms, max 122 ms\n"
        );
        for standing in [Standing::Measured, Standing::Bounded, Standing::Unknown] {
            let said = said(all(standing), Vec::new());
            for line in said.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }
}
