//! Rates over time as linear pieces, and the times at which their integral reaches a number.
//!
//! The integral of a rate is a number of requests. A schedule asks for the times at which it
//! reaches 1, 2, 3 ... (equal spacing), or the sums of exponential gaps. The latter is a Poisson
//! process of that rate (D. R. Cox and V. Isham, Point Processes, 1980, section 4.2). Each piece is
//! inverted in closed form, so that no error accumulates.

use crate::harness::nanos::Nanos;

/// A rate over time, in requests per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pieces: Vec<Piece>,
    length: Nanos,
    /// Number of requests of the whole profile.
    total: f64,
}

/// A stretch of time on which the rate is a straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: Nanos,
    length: Nanos,
    /// Requests per second at the start and at the end of the piece.
    from: f64,
    to: f64,
    /// Number of requests before the piece.
    before: f64,
    /// Number of requests in the piece.
    own: f64,
}

/// Bursts that alternate with pauses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Requests per second while on.
    pub rate: f64,
    /// Requests per second while off.
    pub base: f64,
    /// Length of a burst.
    pub on: Nanos,
    /// Time from the end of a burst to the start of the next.
    pub off: Nanos,
}

impl Profile {
    /// Returns a profile with a constant rate.
    pub fn constant(rate: f64, length: Nanos) -> Self {
        Self::ramp(rate, rate, length)
    }

    /// Returns a profile whose rate changes linearly from `from` to `to`.
    pub fn ramp(from: f64, to: f64, length: Nanos) -> Self {
        let mut profile = Self::default();
        profile.push(from, to, length);
        profile
    }

    /// Returns a profile of these rates in order, each for an equal part of the length.
    pub fn steps(rates: &[f64], length: Nanos) -> Self {
        let mut profile = Self::default();
        let count = rates.len() as u64;
        for (index, rate) in (1_u64..).zip(rates) {
            // Each end is computed from the start, so that rounding errors do not add up.
            let end = u128::from(length.as_u64()) * u128::from(index) / u128::from(count);
            let end = u64::try_from(end).map_or(length, Nanos::new);
            profile.push(*rate, *rate, end - profile.length);
        }
        profile
    }

    /// Returns a profile of bursts, the first at the start. The last burst may be cut short.
    pub fn bursts(bursts: Bursts, length: Nanos) -> Self {
        let Bursts { rate, base, on, off } = bursts;
        let mut profile = Self::default();
        for (rate, span) in [(rate, on.max(Nanos::new(1))), (base, off)].into_iter().cycle() {
            let left = length - profile.length;
            if left.is_zero() {
                return profile;
            }
            profile.push(rate, rate, span.min(left));
        }
        profile
    }

    /// Appends another profile.
    #[must_use]
    pub fn then(mut self, next: &Self) -> Self {
        next.pieces.iter().for_each(|piece| self.push(piece.from, piece.to, piece.length));
        self
    }

    fn push(&mut self, from: f64, to: f64, length: Nanos) {
        // Multiplies before it divides, so that a whole number of requests stays whole.
        let own = f64::midpoint(from, to) * length.as_f64() / 1e9;
        let (start, before) = (self.length, self.total);
        self.pieces.push(Piece { start, length, from, to, before, own });
        self.length += length;
        self.total += own;
    }

    /// Returns the length.
    pub const fn length(&self) -> Nanos {
        self.length
    }

    /// Returns the number of requests in the whole profile.
    pub const fn total(&self) -> f64 {
        self.total
    }

    /// Returns the rate at the start, in requests per second.
    pub fn first_rate(&self) -> f64 {
        self.pieces.first().map_or(0.0, |piece| piece.from)
    }

    /// Returns the highest rate, in requests per second.
    pub fn peak(&self) -> f64 {
        self.pieces.iter().fold(0.0, |peak, piece| piece.from.max(piece.to).max(peak))
    }

    /// Returns the rate in requests per second if it is constant.
    pub fn level(&self) -> Option<f64> {
        let rate = self.first_rate();
        let is_other = |other: f64| other.total_cmp(&rate).is_ne();
        let bends = |piece: &Piece| is_other(piece.from) || is_other(piece.to);
        (!self.pieces.iter().any(bends)).then_some(rate)
    }

    /// Returns the mean rate, in requests per second.
    pub fn mean(&self) -> f64 {
        self.total * 1e9 / self.length.max(Nanos::new(1)).as_f64()
    }

    /// Returns the number of requests until `at`.
    pub fn integral(&self, at: Nanos) -> f64 {
        let after = self.pieces.partition_point(|piece| piece.start <= at);
        let piece = after.checked_sub(1).and_then(|index| self.pieces.get(index));
        piece.map_or(0.0, |piece| piece.before + piece.until(at - piece.start))
    }

    /// Returns the inverse of the integral, for ascending arguments.
    pub const fn inverse(self) -> Inverse {
        Inverse { profile: self, piece: 0 }
    }
}

impl Piece {
    fn until(&self, span: Nanos) -> f64 {
        let seconds = span.min(self.length).as_f64() / 1e9;
        self.from * seconds + self.slope() * seconds * seconds / 2.0
    }

    /// Returns the change of the rate per second.
    fn slope(&self) -> f64 {
        (self.to - self.from) * 1e9 / self.length.max(Nanos::new(1)).as_f64()
    }

    /// Returns the nanoseconds from the start of the piece to its request number `requests`. This
    /// is the root of `from x + slope x^2 / 2 = requests`, in the form without cancellation.
    fn span_ns(&self, requests: f64) -> f64 {
        // If the rate begins at 0, the formula below would divide 0 by 0.
        if requests == 0.0 {
            return 0.0;
        }
        let slope = self.slope();
        // Exact if the rate is constant.
        let root = if slope == 0.0 {
            self.from
        } else {
            let square = self.from * self.from + 2.0 * slope * requests;
            f64::midpoint(self.from, square.max(0.0).sqrt())
        };
        requests * 1e9 / root
    }
}

/// The inverse of an integral, for arguments that do not fall.
#[derive(Clone, Debug)]
pub struct Inverse {
    profile: Profile,
    piece: usize,
}

impl Inverse {
    /// Returns the time after which there are more than `requests`, or `None` if
    /// that never happens.
    ///
    /// If the number is reached just before a silence, the result is the end of the silence. A
    /// request that is due between two bursts is therefore the first of the next burst.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are positive and far below 2^53 ns"
    )]
    pub fn at(&mut self, requests: f64) -> Option<Nanos> {
        loop {
            let piece = self.profile.pieces.get(self.piece)?;
            let into = (requests - piece.before).max(0.0);
            if into < piece.own {
                let span_ns = piece.span_ns(into);
                // Rounding may move the time past the end of its piece.
                if span_ns < piece.length.as_f64() {
                    return Some(piece.start + Nanos::new(span_ns as u64));
                }
            }
            self.piece += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = Nanos::SECOND;

    #[test]
    fn the_integral_is_the_area_under_the_rate() {
        let profile = Profile::constant(100.0, SECOND).then(&Profile::ramp(100.0, 300.0, SECOND));
        assert!((profile.total() - 300.0).abs() < 1e-9);
        assert!((profile.integral(SECOND / 2) - 50.0).abs() < 1e-9);
        assert!((profile.integral(SECOND * 3 / 2) - (100.0 + 50.0 + 25.0)).abs() < 1e-9);
        assert!((profile.integral(SECOND * 9) - 300.0).abs() < 1e-9);
        assert!((profile.mean() - 150.0).abs() < 1e-9 && (profile.peak() - 300.0).abs() < 1e-9);
    }

    #[test]
    fn bursts_alternate_and_the_last_is_cut() {
        let (on, off) = (SECOND / 4, SECOND / 2);
        let bursts = Bursts { rate: 400.0, base: 0.0, on, off };
        let profile = Profile::bursts(bursts, SECOND);
        assert_eq!(profile.length(), SECOND);
        assert!((profile.total() - 200.0).abs() < 1e-9);
        assert!((profile.integral(SECOND / 2) - 100.0).abs() < 1e-9);
        let mut inverse = profile.inverse();
        // Number 100 is due when the second burst begins, not when the first ends.
        assert_eq!(inverse.at(100.0), Some(SECOND * 3 / 4));
        assert_eq!(inverse.at(200.0), None);
    }

    #[test]
    fn a_silence_has_no_requests_and_is_passed_over() {
        let profile = Profile::constant(0.0, SECOND).then(&Profile::constant(10.0, SECOND));
        assert_eq!(profile.clone().inverse().at(0.0), Some(SECOND));
        assert_eq!(Profile::constant(0.0, SECOND).inverse().at(0.0), None);
    }

    #[test]
    fn a_rate_that_begins_at_nothing_has_its_first_request_at_once() {
        let mut inverse = Profile::ramp(0.0, 1_000.0, SECOND).inverse();
        assert_eq!(inverse.at(0.0), Some(Nanos::ZERO));
        // The first half holds a quarter of the requests.
        assert_eq!(inverse.at(125.0), Some(SECOND / 2));
    }

    #[test]
    fn steps_share_the_length_to_the_nanosecond() {
        let profile = Profile::steps(&[1.0, 2.0, 3.0], Nanos::new(1_000_000_001));
        assert_eq!(profile.length(), Nanos::new(1_000_000_001));
        assert_eq!(profile.pieces.len(), 3);
    }
}
