//! Computes the ratio of two endpoints from their blocks. Pure arithmetic.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};
use hdrhistogram::Histogram;

use super::rejection::{RejectedBlocks, Rejection};
use crate::harness::document::compare_targets;
use crate::harness::document::compare_targets::{
    Load, QuantileRatios, Quantiles, Ratios, SCHEMA, Side, TargetComparison,
};
use crate::harness::judge::outcome::Outcome;
use crate::harness::record::intervals::Latencies;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::stats::paired::{Method, Rates, Summary, signed_rank};

/// Question of a comparison: its endpoints and their load.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Endpoints A and B, as they are displayed.
    pub(super) targets: [String; 2],
    pub(super) pairs: u32,
    pub(super) block: Duration,
    /// Requests per second.
    pub(super) rate: f64,
    pub(super) arrivals: Arrivals,
    pub(super) seed: u64,
}

/// Measurement of one endpoint for a short time.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// Latencies of the good answers.
    latencies: Latencies,
    /// Number of failed requests.
    failed: u64,
    /// Reasons why the block is not used; empty if it is used.
    rejections: Vec<Rejection>,
}

impl Block {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let invalid = outcome.reasons.iter().filter_map(Rejection::of);
        let failures = outcome.failures.iter().cloned().map(Rejection::Requests);
        let (latencies, failed) = (outcome.good.clone(), outcome.measured.totals.whole.failed());
        Self::new(latencies, failed, invalid.chain(failures).collect())
    }

    fn new(latencies: Latencies, failed: u64, mut rejections: Vec<Rejection>) -> Self {
        // If all requests were allowed to fail and all did, no other check reports it.
        if rejections.is_empty() && latencies.response.is_empty() {
            rejections.push(Rejection::Unanswered);
        }
        Self { latencies, failed, rejections }
    }
}

/// Percentiles that are compared.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];
const CONFIDENCE: f64 = 0.95;
/// Minimum share of pairs that must be evidence. With fewer, the machine is too noisy, and leaving out
/// noisy pairs would bias the result.
const VALID_SHARE_MIN: f64 = 0.8;

/// Kind of latency of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Response,
    Service,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Response, Self::Service];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
        }
    }

    const fn of(self, latencies: &Latencies) -> &Histogram<u64> {
        match self {
            Self::Response => &latencies.response,
            Self::Service => &latencies.service,
        }
    }
}

/// Ratio of B over A with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    middle: f64,
    low: f64,
    high: f64,
}

impl Ratio {
    fn document(self) -> compare_targets::Ratio {
        let Self { middle, low, high } = self;
        let finite = |bound: f64| Some(bound).filter(|bound| bound.is_finite());
        compare_targets::Ratio { high: finite(high), low: finite(low), ratio: middle }
    }
}

/// Results of a comparison so far.
#[derive(Debug)]
pub(super) struct Comparison {
    question: Question,
    /// Sums of all valid blocks, A and B.
    sides: [Block; 2],
    /// Logarithms of B over A for each pair, by kind and quantile.
    differences: [[Vec<f64>; QUANTILES.len()]; 2],
    pairs_measured: u32,
    used: u32,
    rejected: Vec<RejectedBlocks>,
}

impl Comparison {
    pub(super) fn new(question: Question) -> Self {
        Self {
            question,
            sides: [Block::default(), Block::default()],
            differences: Default::default(),
            pairs_measured: 0,
            used: 0,
            rejected: Vec::new(),
        }
    }

    /// Adds a pair. A pair with a rejected block is not used.
    pub(super) fn add(&mut self, a: Block, b: Block) {
        self.pairs_measured += 1;
        if !(a.rejections.is_empty() && b.rejections.is_empty()) {
            a.rejections.into_iter().for_each(|rejection| self.reject("A", rejection));
            b.rejections.into_iter().for_each(|rejection| self.reject("B", rejection));
            return;
        }
        self.used += 1;
        for (kind, rows) in Kind::ALL.into_iter().zip(&mut self.differences) {
            for ((_, quantile), row) in QUANTILES.into_iter().zip(rows) {
                row.extend(difference(kind.of(&a.latencies), kind.of(&b.latencies), quantile));
            }
        }
        for (side, block) in self.sides.iter_mut().zip([a, b]) {
            side.latencies.add(&block.latencies);
            side.failed += block.failed;
        }
    }

    fn reject(&mut self, side: &'static str, rejection: Rejection) {
        let known = self.rejected.iter_mut();
        match known.into_iter().find(|known| known.side == side && known.first.is_like(&rejection))
        {
            Some(known) => known.blocks += 1,
            None => self.rejected.push(RejectedBlocks { side, first: rejection, blocks: 1 }),
        }
    }

    /// Returns true if no pair was measured.
    pub(super) const fn is_empty(&self) -> bool {
        self.pairs_measured == 0
    }

    /// Returns true if enough pairs are evidence.
    pub(super) fn is_valid(&self) -> bool {
        self.used >= 2 && f64::from(self.used) >= VALID_SHARE_MIN * f64::from(self.question.pairs)
    }

    fn ratios(&self) -> impl Iterator<Item = (Kind, &'static str, f64, Option<Ratio>)> {
        Kind::ALL.into_iter().zip(&self.differences).flat_map(|(kind, rows)| {
            QUANTILES.into_iter().zip(rows).map(move |((name, quantile), differences)| {
                (kind, name, quantile, ratio(differences))
            })
        })
    }

    /// Returns the results as a table and sentences.
    pub(super) fn text(&self) -> String {
        let [a, b] = &self.sides;
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["us", "", "A", "B", "B / A", "within"]);
        for (kind, name, quantile, ratio) in self.ratios() {
            let us = |side: &Block| {
                let us = us_at(kind.of(&side.latencies), quantile);
                right(us.map_or("-".to_owned(), |us| format!("{us:.1}")))
            };
            let (middle, within) = ratio.map_or(("-".to_owned(), "-".to_owned()), |ratio| {
                let Ratio { middle, low, high } = ratio;
                (format!("{middle:.3}"), format!("{low:.3} - {high:.3}"))
            });
            let kind = if name == "p50" { kind.as_str() } else { "" };
            table.add_row([
                Cell::new(kind),
                Cell::new(name),
                us(a),
                us(b),
                right(middle),
                right(within),
            ]);
        }
        // An empty table would look like times of zero.
        let mut text = if self.used == 0 { String::new() } else { format!("{table}\n\n") };
        // Writing to a string cannot fail.
        let _ = self.sentences(&mut text);
        text
    }

    fn sentences(&self, text: &mut String) -> std::fmt::Result {
        let Question { targets: [a, b], pairs, block, rate, .. } = &self.question;
        let [of_a, of_b] = &self.sides;
        if self.pairs_measured < *pairs {
            writeln!(text, "PARTIAL   interrupted after {} of {pairs} pairs", self.pairs_measured)?;
        }
        writeln!(text, "A         {a}: {}", self.counts(of_a))?;
        writeln!(text, "B         {b}: {}", self.counts(of_b))?;
        let block = humantime::format_duration(*block);
        write!(
            text,
            "pairs     {} of {pairs} used, each {block} of both at {rate}/s, A B B A",
            self.used
        )?;
        let bounds = "; the ratio lies within the bounds with 95 % confidence";
        writeln!(text, "{}", if self.used < 2 { "" } else { bounds })?;
        for blocks in &self.rejected {
            writeln!(text, "unused    {blocks}")?;
        }
        if self.is_valid() {
            return Ok(());
        }
        match self.used {
            0 => writeln!(text, "INVALID   no usable pair: nothing can be said"),
            _ => writeln!(text, "INVALID   too few pairs are evidence: do not use these numbers"),
        }
    }

    /// Returns the requests of the blocks in use. Without any, zero would look like a measured number.
    fn counts(&self, side: &Block) -> String {
        if self.used == 0 {
            return "no block was used".to_owned();
        }
        let count = side.latencies.response.len() + side.failed;
        format!("{count} requests, {} failed", side.failed)
    }

    /// Builds the document of the comparison.
    pub(super) fn document(&self) -> TargetComparison {
        let Question { targets: [of_a, of_b], pairs, block, rate, arrivals, seed } = &self.question;
        let [a, b] = &self.sides;
        let [response, service] = self.differences.each_ref().map(ratios);
        TargetComparison {
            a: side(of_a, a),
            b: side(of_b, b),
            b_over_a: Ratios { response, service },
            confidence: CONFIDENCE,
            load: Load {
                arrivals: arrivals.as_str().to_owned(),
                block_s: block.as_secs_f64(),
                pairs: (*pairs).into(),
                rate: *rate,
                seed: *seed,
            },
            pairs_used: self.used.into(),
            reasons: self.rejected.iter().map(ToString::to_string).collect(),
            schema: SCHEMA.to_owned(),
            valid: self.is_valid(),
        }
    }
}

fn side(target: &str, side: &Block) -> Side {
    let us = |kind: Kind| {
        let of_kind = kind.of(&side.latencies);
        let [p50, p90, p99] = QUANTILES.map(|(_, quantile)| us_at(of_kind, quantile));
        Quantiles { p50, p90, p99 }
    };
    Side {
        count: side.latencies.response.len() + side.failed,
        errors: side.failed,
        response_us: us(Kind::Response),
        service_us: us(Kind::Service),
        target: target.to_owned(),
    }
}

fn ratios(differences: &[Vec<f64>; QUANTILES.len()]) -> QuantileRatios {
    let [p50, p90, p99] =
        differences.each_ref().map(|differences| ratio(differences).map(Ratio::document));
    QuantileRatios { p50, p90, p99 }
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
fn us_at(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile) as f64 / 1000.0)
}

/// Returns the logarithm of B over A, or none if one of them has no such time.
fn difference(a: &Histogram<u64>, b: &Histogram<u64>, quantile: f64) -> Option<f64> {
    let [a, b] = [a, b].map(|histogram| us_at(histogram, quantile));
    a.zip(b).filter(|(a, b)| *a > 0.0 && *b > 0.0).map(|(a, b)| (b / a).ln())
}

/// Returns the middle of the ratios and its bounds, or none for fewer than two pairs.
fn ratio(differences: &[f64]) -> Option<Ratio> {
    if differences.len() < 2 {
        return None;
    }
    let rates = Rates::two_sided(CONFIDENCE);
    let method = Method::for_pairs(differences.len(), rates);
    let bounds = method.bounds(differences, rates);
    let middle = match method {
        Method::SignedRank => signed_rank::hodges_lehmann(differences)?,
        Method::Student => Summary::of(differences).mean,
    };
    Some(Ratio { middle: middle.exp(), low: bounds.low.exp(), high: bounds.high.exp() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::judge::validity::Reason;
    use proptest::prelude::*;

    fn question(pairs: u32) -> Question {
        Question {
            targets: ["a".to_owned(), "b".to_owned()],
            pairs,
            block: Duration::from_secs(1),
            rate: 100.0,
            arrivals: Arrivals::Poisson,
            seed: 1,
        }
    }

    /// Returns a block in which every answer took `us` microseconds.
    fn block(us: u64) -> Block {
        let mut latencies = Latencies::default();
        for histogram in [&mut latencies.response, &mut latencies.service] {
            histogram.record_n(us * 1000, 100).unwrap();
        }
        Block { latencies, ..Block::default() }
    }

    fn noisy(share: f64) -> Block {
        let steal = Reason::Steal { share };
        Block { rejections: vec![Rejection::Generator(steal)], ..block(1_000_000) }
    }

    #[test]
    fn an_endpoint_that_gives_no_good_answer_is_compared_with_nothing() {
        let mut comparison = Comparison::new(question(2));
        for _ in 0..2 {
            comparison.add(block(500), Block::new(Latencies::default(), 100, Vec::new()));
        }
        assert!(!comparison.is_valid());
        let text = comparison.text();
        assert!(text.contains("2 of B, as in: no request got a good answer"), "{text}");
        assert!(!text.contains("PARTIAL"), "{text}");
    }

    #[test]
    fn an_interrupted_comparison_says_how_many_pairs_it_has() {
        let mut comparison = Comparison::new(question(3));
        assert!(comparison.is_empty());
        for _ in 0..2 {
            comparison.add(block(500), block(600));
        }
        let text = comparison.text();
        assert!(text.contains("PARTIAL   interrupted after 2 of 3 pairs"), "{text}");
        assert!(text.contains("1.200"), "{text}");
    }

    #[test]
    fn the_ratio_is_that_of_the_pairs_and_not_of_the_drift() {
        let mut comparison = Comparison::new(question(12));
        // The machine becomes ten times slower in the meantime; B takes a fifth longer throughout.
        for step in 0..12 {
            comparison.add(block(500 + 400 * step), block(600 + 480 * step));
        }
        assert!(comparison.is_valid());
        for (_, _, _, ratio) in comparison.ratios() {
            let Ratio { middle, low, high } = ratio.unwrap();
            // A histogram is exact to 0.1 %.
            assert!((middle - 1.2).abs() < 0.005, "{middle}");
            assert!(low <= middle && middle <= high && high - low < 0.01, "{low} {high}");
        }
        let document = comparison.document();
        assert_eq!((document.pairs_used, document.a.count), (12, 1200));
        assert!(comparison.text().contains("12 of 12 used"), "{}", comparison.text());
    }

    #[test]
    fn pairs_without_evidence_are_left_out_and_too_many_make_it_invalid() {
        let mut comparison = Comparison::new(question(10));
        for _ in 0..8 {
            comparison.add(block(500), block(500));
        }
        comparison.add(noisy(0.5), block(500));
        comparison.add(noisy(0.25), block(500));
        assert!(comparison.is_valid());
        let document = comparison.document();
        assert!(document.reasons[0].starts_with("2 of A, as in: "), "{document:?}");
        assert_eq!((document.reasons.len(), document.b.count), (1, 800));
        let mut noise = Comparison::new(question(10));
        (0..7).for_each(|_| noise.add(block(500), block(500)));
        (0..3).for_each(|_| noise.add(block(500), noisy(0.5)));
        assert!(!noise.is_valid());
        assert!(noise.text().contains("INVALID") && noise.text().contains("3 of B"));
        assert!(!Comparison::new(question(2)).is_valid());
    }

    #[test]
    fn without_a_usable_pair_there_are_no_numbers() {
        let mut comparison = Comparison::new(question(2));
        (0..2).for_each(|_| comparison.add(noisy(0.5), block(500)));
        let text = comparison.text();
        assert!(text.contains("INVALID   no usable pair") && !text.contains("B / A"), "{text}");
        assert!(text.contains("A         a: no block was used\n"), "{text}");
        assert!(!text.contains("0 requests"), "{text}");
        let document = comparison.document();
        for side in [&document.a, &document.b] {
            assert_eq!((side.response_us.p99, side.count), (None, 0), "{document:?}");
        }
        assert!(!document.valid);
    }

    #[test]
    fn requests_that_failed_are_counted_and_in_no_percentile() {
        let mut comparison = Comparison::new(question(2));
        (0..2).for_each(|_| comparison.add(Block { failed: 7, ..block(500) }, block(500)));
        let document = comparison.document();
        assert_eq!((document.a.count, document.a.errors), (214, 14));
        assert_eq!(document.b.errors, 0);
    }

    proptest! {
        #[test]
        fn changing_the_sides_turns_the_ratio_over(
            logs in prop::collection::vec(-2.0..2.0, 2..30),
        ) {
            let turned: Vec<f64> = logs.iter().map(|log| -log).collect();
            let [one, other] = [&logs, &turned].map(|logs| ratio(logs).unwrap());
            let near = |x: f64, y: f64| (x * y - 1.0).abs() < 1e-9;
            prop_assert!(near(one.middle, other.middle));
            prop_assert!(near(one.low, other.high) && near(one.high, other.low));
        }
    }
}
