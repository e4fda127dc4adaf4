//! Growth of work that a gate allows.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::harness::class::Class;
use crate::harness::document::count::{UnknownWork, Work};

/// Growth that is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Allowance {
    /// So many per request. Counts are whole numbers, so a half more is one more that not every request has.
    PerRequest(f64),
    /// Share of the base.
    Share(f64),
}

/// Part of a request's call that counts as one: a call that half of the requests make fails.
const HALF: f64 = 0.5;

impl Allowance {
    /// Returns the growth per request from which on a metric fails, if the base has `base`.
    pub(crate) fn growth(self, base: f64) -> f64 {
        match self {
            Self::PerRequest(count) => count + HALF,
            Self::Share(share) => share * base,
        }
    }
}

impl FromStr for Allowance {
    type Err = String;

    /// Parses a share such as `0.5%`, or a number per request such as `2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, share) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim(), true),
            None => (text.trim(), false),
        };
        let number =
            number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
        let number = number.ok_or_else(|| {
            format!("`{text}` is no allowance; write a share like 0.5%, or a number per request")
        })?;
        Ok(if share { Self::Share(number / 100.0) } else { Self::PerRequest(number) })
    }
}

/// Growth that is allowed of every kind of work: what was given, else the default of the class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Allowances(BTreeMap<Work, Allowance>);

/// Shares that are allowed without a flag. Instructions of one build differ by some hundredths of a per cent
/// from process to process, because hash tables are seeded at random.
const INSTRUCTIONS: f64 = 0.003;
const BYTES: f64 = 0.01;

/// Instructions of a refusal differ more: by up to 1.2 % in processes of one build.
const REFUSED_INSTRUCTIONS: f64 = 0.015;

/// Calls of a miss that some processes of one build make and others do not: which of two threads waits for the other
/// is chance.
const MISS_ALLOCATIONS: f64 = 1.0;
const MISS_SYSTEM_CALLS: f64 = 2.0;

impl Allowances {
    /// Returns the allowances of a gate: the default ones, except for those that are given.
    pub(crate) fn with(given: &[(Work, Allowance)]) -> Self {
        Self(given.iter().copied().collect())
    }

    /// Returns the growth per request from which on a metric fails.
    pub(super) fn growth(&self, (class, work): (Class, Work), base: f64) -> f64 {
        let given = self.0.get(&work).copied();
        given.unwrap_or_else(|| by_default(class, work)).growth(base)
    }
}

const fn by_default(class: Class, work: Work) -> Allowance {
    match (class, work) {
        (Class::Refused, Work::Instructions) => Allowance::Share(REFUSED_INSTRUCTIONS),
        (_, Work::Instructions) => Allowance::Share(INSTRUCTIONS),
        (Class::Miss, Work::Allocations) => Allowance::PerRequest(MISS_ALLOCATIONS),
        (Class::Miss, Work::SystemCalls) => Allowance::PerRequest(MISS_SYSTEM_CALLS),
        (_, Work::Allocations | Work::SystemCalls) => Allowance::PerRequest(0.0),
        (_, Work::AllocatedBytes | Work::WrittenBytes) => Allowance::Share(BYTES),
    }
}

/// Parses an allowance of the command line: `instructions=0.5%`.
///
/// # Errors
/// Returns a text that says what is wrong.
pub(crate) fn parse(text: &str) -> Result<(Work, Allowance), String> {
    let (work, allowance) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no allowance; write it like instructions=0.5%"))?;
    let work = work.trim().parse().map_err(|error: UnknownWork| error.to_string())?;
    Ok((work, allowance.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowances_are_shares_or_numbers_per_request() {
        assert_eq!(parse("instructions=0.5%"), Ok((Work::Instructions, Allowance::Share(0.005))));
        assert_eq!(parse("allocations=2"), Ok((Work::Allocations, Allowance::PerRequest(2.0))));
        assert_eq!(
            parse(" system-calls = 0 "),
            Ok((Work::SystemCalls, Allowance::PerRequest(0.0)))
        );
        for wrong in ["", "instructions", "speed=1%", "allocations=-1", "allocations=NaN", "=1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let growth = |given: &[&str], work, base| {
            let given: Vec<_> = given.iter().map(|text| parse(text).unwrap()).collect();
            Some(Allowances::with(&given).growth((Class::Hit, work), base))
        };
        assert_eq!(growth(&[], Work::Instructions, 20_000.0), Some(60.0));
        assert_eq!(growth(&[], Work::Allocations, 20.0), Some(0.5));
        assert_eq!(growth(&["allocations=1"], Work::Allocations, 20.0), Some(1.5));
        assert_eq!(growth(&["allocations=1"], Work::SystemCalls, 20.0), Some(0.5));
        assert_eq!(
            growth(&["instructions=1%", "instructions=2%"], Work::Instructions, 100.0),
            Some(2.0)
        );
    }

    #[test]
    fn threads_that_meet_by_chance_are_allowed_their_calls_unless_a_flag_says_else() {
        let growth = |given: &[&str], of| {
            let given: Vec<_> = given.iter().map(|text| parse(text).unwrap()).collect();
            Some(Allowances::with(&given).growth(of, 1000.0))
        };
        for (work, by_default) in
            [(Work::Allocations, 1.5), (Work::SystemCalls, 2.5), (Work::Instructions, 3.0)]
        {
            assert_eq!(growth(&[], (Class::Miss, work)), Some(by_default));
        }
        assert_eq!(growth(&[], (Class::Refused, Work::Instructions)), Some(15.0));
        let given = ["system-calls=0", "instructions=0.1%"];
        assert_eq!(growth(&given, (Class::Miss, Work::SystemCalls)), Some(0.5));
        assert_eq!(growth(&given, (Class::Refused, Work::Instructions)), Some(1.0));
    }
}
