//! Search for the highest rate at which a statement is true.
//!
//! The statement is true up to some rate and false above it. A measurement at a rate tells that it is true, that it is
//! false, or neither. The search doubles the rate up to a false one, or halves it down to a true one. Then it halves
//! the gaps on a logarithmic scale: the gap between the highest true rate and the lowest open one, and the gap between
//! the highest open rate and the lowest false one. An open rate is never counted as true or false.

/// Result of a measurement at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The statement is true at the rate.
    Met,
    /// The statement is false at the rate.
    Missed,
    /// Nobody can tell.
    Open,
    /// The rate could not be sent, so that the measurement tells nothing of the target.
    Unsent,
}

/// Settings of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// First rate, in requests per second.
    pub(crate) start: f64,
    /// Largest rate that is tried.
    pub(crate) rate_max: f64,
    /// Largest ratio of the ends of a gap, above 1.
    pub(crate) resolution: f64,
    /// Largest number of measurements of a rate that stays open or unsent.
    pub(crate) tries: u32,
}

/// Rates around the limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bracket {
    /// Highest rate at which the statement is true.
    pub(crate) met: Option<f64>,
    /// Rates between the ends of which nobody can tell, in ascending order.
    pub(crate) open: Vec<f64>,
    /// Lowest rate at which the statement is false.
    pub(crate) missed: Option<f64>,
    /// Lowest rate that could not be sent.
    pub(crate) unsent: Option<f64>,
}

/// Divisor of the first rate at which a search gives up. A failure at such a low rate is not caused by load.
const FLOOR: f64 = 64.0;
/// Number of rates in a row of which nobody can tell, after which a search does not go further that way. The machine is
/// disturbed, and not near the limit of the target.
const UNTOLD_MAX: u32 = 3;
/// Maximum number of rates. Any sensible search needs far fewer.
const RATES_MAX: usize = 60;

impl Terms {
    /// Returns the number of measurements from which the ends of a bracket come, at most: the last doubled rates and
    /// those between them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "dozens")]
    pub(crate) fn deciding(&self) -> u32 {
        (2 + self.halvings().ceil() as u32) * self.tries
    }

    /// Returns the approximate number of rates of a search that doubles the first rate four times.
    pub(crate) fn rates(&self) -> f64 {
        const DOUBLINGS: f64 = 4.0;
        1.0 + DOUBLINGS + self.halvings().ceil()
    }

    /// Returns the number of halvings of a gap between two doubled rates.
    fn halvings(&self) -> f64 {
        (2_f64.ln() / self.resolution.ln()).max(1.0).log2()
    }
}

impl Bracket {
    /// Returns the lowest rate above the limit or beyond the generator.
    fn top(&self) -> Option<f64> {
        self.missed.into_iter().chain(self.unsent).reduce(f64::min)
    }

    fn take(&mut self, rate: f64, told: Told) {
        let lower = |end: Option<f64>| Some(end.map_or(rate, |end| end.min(rate)));
        match told {
            Told::Met => self.met = Some(self.met.map_or(rate, |met| met.max(rate))),
            Told::Missed => self.missed = lower(self.missed),
            Told::Unsent => self.unsent = lower(self.unsent),
            Told::Open => self.open.push(rate),
        }
        // What is known of a rate holds for those below or above it.
        let (met, top) = (self.met.unwrap_or(0.0), self.top().unwrap_or(f64::INFINITY));
        self.open.retain(|open| *open > met && *open < top);
        self.open.sort_by(f64::total_cmp);
    }

    /// Returns the next gap that is wider than the resolution, from below.
    fn gap(&self, resolution: f64) -> Option<(f64, f64)> {
        let top = self.top();
        let low = self.met.zip(self.open.first().copied().or(top));
        let high = self.open.last().copied().zip(top);
        low.into_iter().chain(high).find(|(low, high)| high / low > resolution)
    }
}

/// Searches with measurements by `ask`.
///
/// # Errors
/// Returns the errors of `ask`.
pub(crate) fn search<E>(
    terms: Terms,
    ask: &mut dyn FnMut(f64) -> Result<Told, E>,
) -> Result<Bracket, E> {
    let mut search = Search { terms, ask, bracket: Bracket::default(), rates: 0 };
    let start = terms.start.min(terms.rate_max);
    let told = search.tell(start)?;
    if told != Told::Met {
        search.halve(start)?;
    }
    if search.bracket.top().is_none() {
        search.double(start)?;
    }
    search.bisect()?;
    Ok(search.bracket)
}

struct Search<'a, E> {
    terms: Terms,
    ask: &'a mut dyn FnMut(f64) -> Result<Told, E>,
    bracket: Bracket,
    rates: usize,
}

impl<E> Search<'_, E> {
    /// Measures a rate, again if that tells nothing of the target.
    fn tell(&mut self, rate: f64) -> Result<Told, E> {
        self.rates += 1;
        let mut told = Told::Open;
        for _ in 0..self.terms.tries.max(1) {
            told = (self.ask)(rate)?;
            if let Told::Met | Told::Missed = told {
                break;
            }
        }
        self.bracket.take(rate, told);
        Ok(told)
    }

    fn halve(&mut self, start: f64) -> Result<(), E> {
        let (mut rate, mut untold) = (start / 2.0, 0);
        while rate >= (start / FLOOR).max(1.0) && untold < UNTOLD_MAX {
            match self.tell(rate)? {
                Told::Met => break,
                Told::Missed => untold = 0,
                Told::Open | Told::Unsent => untold += 1,
            }
            rate /= 2.0;
        }
        Ok(())
    }

    fn double(&mut self, start: f64) -> Result<(), E> {
        let (mut rate, mut untold) = (start, 0);
        while rate < self.terms.rate_max && self.bracket.top().is_none() && untold < UNTOLD_MAX {
            rate = (rate * 2.0).min(self.terms.rate_max);
            untold = if self.tell(rate)? == Told::Open { untold + 1 } else { 0 };
        }
        Ok(())
    }

    fn bisect(&mut self) -> Result<(), E> {
        while let Some((low, high)) = self.bracket.gap(self.terms.resolution) {
            if self.rates >= RATES_MAX {
                break;
            }
            self.tell((low * high).sqrt())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use proptest::prelude::*;

    fn terms() -> Terms {
        Terms { start: 500.0, rate_max: 1e6, resolution: 1.05, tries: 3 }
    }

    fn found(terms: Terms, mut ask: impl FnMut(f64) -> Told) -> Bracket {
        let Ok(found) = search(terms, &mut |rate| Ok::<_, Infallible>(ask(rate)));
        found
    }

    /// Returns what measurements tell of a limit, if nobody can tell within a factor of it.
    fn of(limit: f64, doubt: f64) -> impl Fn(f64) -> Told {
        move |rate| match rate {
            rate if rate <= limit / doubt => Told::Met,
            rate if rate > limit * doubt => Told::Missed,
            _ => Told::Open,
        }
    }

    proptest! {
        #[test]
        fn the_bracket_holds_the_limit_and_is_as_narrow_as_the_doubt_allows(
            limit in 20.0..500_000.0_f64,
            doubt in 1.0..1.5_f64,
        ) {
            let found = found(terms(), of(limit, doubt));
            let (met, missed) = (found.met.unwrap(), found.missed.unwrap());
            prop_assert!(met <= limit && limit <= missed);
            prop_assert!(missed / met <= 1.06 * 1.06 * doubt * doubt, "{} {}", met, missed);
            prop_assert!(found.open.iter().all(|open| met < *open && *open < missed));
            prop_assert!(found.open.is_sorted());
        }
    }

    #[test]
    fn an_open_rate_is_measured_again_and_then_stays_open() {
        let mut measured = 0;
        let bracket = found(Terms { rate_max: 500.0, ..terms() }, |rate| {
            measured += u32::from(rate > 499.0);
            if rate < 300.0 { Told::Met } else { Told::Open }
        });
        assert_eq!((measured, bracket.missed), (3, None));
        assert!(bracket.met.is_some() && !bracket.open.is_empty());
    }

    #[test]
    fn a_rate_that_cannot_be_sent_ends_the_search_and_is_no_miss() {
        let found = found(terms(), |rate| if rate > 3000.0 { Told::Unsent } else { Told::Met });
        let (met, unsent) = (found.met.unwrap(), found.unsent.unwrap());
        assert!(met <= 3000.0 && 3000.0 < unsent && unsent / met <= 1.05, "{found:?}");
        assert_eq!(found.missed, None);
    }

    #[test]
    fn a_statement_that_is_never_true_or_always_true_has_one_end() {
        let never = found(terms(), |_| Told::Missed);
        assert_eq!((never.met, never.open.len()), (None, 0));
        assert!(never.missed.unwrap() < 10.0, "{never:?}");
        let always = found(terms(), |_| Told::Met);
        assert_eq!((always.met, always.missed), (Some(1e6), None));
    }

    #[test]
    fn nothing_is_said_where_nobody_can_ever_tell() {
        let mut rates = 0;
        let found = found(terms(), |_| {
            rates += 1;
            Told::Open
        });
        assert_eq!((found.met, found.missed, found.unsent), (None, None, None));
        // The first rate, three below it and three above it, each three times.
        assert_eq!(rates, 7 * 3);
    }

    #[test]
    fn the_measurements_near_the_limit_are_counted() {
        // Two doubled rates and four between them, each three times.
        assert_eq!(terms().deciding(), 18);
    }
}
