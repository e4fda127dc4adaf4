//! Both bounds of the response times of a merged result.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::seconds::Seconds;
use crate::harness::class::Class;
use crate::harness::document::run::Run;
use crate::harness::document::run::classes::Whole;
use crate::harness::judge::objective::{Answers, AnswersOverTime, BoundedAnswers, over_time};
use crate::harness::judge::standing::Bounds;
use crate::harness::record::blocks::Blocks;
use crate::harness::record::intervals::histogram;
use crate::harness::report::quantiles::bounded;
use crate::harness::scenario::objective::Objective;

type ByClass = BTreeMap<Class, Histogram<u64>>;

/// Bounds of the response times of all parts together.
pub(super) struct MergedBounds {
    pub(super) upper: ByClass,
    pub(super) upper_blocks: Blocks,
    /// None if a part has no lower bounds: then the whole has none.
    lower: Option<(ByClass, Blocks)>,
    /// True if stretches of time can be compared in every part.
    is_steady_by_design: bool,
}

impl MergedBounds {
    /// Adds up the logs; `lower` is empty if a part has no lower bounds.
    pub(super) fn of(runs: &[&Run], upper: &Seconds, lower: &Seconds) -> Self {
        // A verdict on the steady state is lost where merged parts differ, so it cannot be asked for.
        let steady = |run: &&Run| run.load.rate_target.is_some() && run.changes.is_none();
        Self {
            upper: upper.whole(),
            upper_blocks: upper.blocks(),
            lower: Some(lower.whole())
                .filter(|whole| !whole.is_empty())
                .map(|whole| (whole, lower.blocks())),
            is_steady_by_design: runs.iter().all(steady),
        }
    }

    /// Returns the bounds of a class, of which `upper` are the upper ones.
    pub(super) fn of_class<'a>(&'a self, class: Class, upper: &'a Histogram<u64>) -> Bounds<'a> {
        let Some((lower, blocks)) = &self.lower else { return Bounds::new(upper, None) };
        let bounds = Bounds::new(upper, lower.get(&class));
        if !self.is_steady_by_design {
            return bounds;
        }
        Bounds {
            upper_blocks: Cow::Borrowed(self.upper_blocks.of(class)),
            lower_blocks: Cow::Borrowed(blocks.of(class)),
            ..bounds
        }
    }

    /// Returns the percentiles over all classes of good answers, or of all requests if no answer was good.
    pub(super) fn whole(&self) -> Whole {
        let any_good = self.upper.keys().any(|class| !class.is_failure());
        let classes = self.upper.keys().copied();
        let classes: Vec<Class> =
            classes.filter(|class| !any_good || !class.is_failure()).collect();
        let upper = sum(&self.upper, &classes);
        let lower = self.lower.as_ref().map(|(lower, _)| sum(lower, &classes));
        let together = |blocks: &Blocks| {
            let seen = classes.iter().copied().filter(|_| self.is_steady_by_design);
            Cow::Owned(blocks.together(seen))
        };
        let bounds = Bounds {
            upper: &upper,
            lower: lower.as_ref(),
            upper_blocks: together(&self.upper_blocks),
            lower_blocks: self.lower.as_ref().map_or_else(Cow::default, |(_, of)| together(of)),
        };
        Whole { count: upper.len(), response_us: bounded(&bounds) }
    }

    /// Returns the answers that an objective covers, or none without lower bounds.
    pub(super) fn answers(&self, objective: &Objective) -> Option<BoundedAnswers> {
        let (lower, lower_blocks) = self.lower.as_ref()?;
        let classes: Vec<Class> =
            self.upper.keys().copied().filter(|_| self.is_steady_by_design).collect();
        let bound = |of: &ByClass, blocks: &Blocks| AnswersOverTime {
            answers: Answers::of(objective, of.iter().map(|(class, of)| (*class, of))),
            blocks: over_time(objective, blocks, &classes),
        };
        Some(BoundedAnswers {
            upper: bound(&self.upper, &self.upper_blocks),
            lower: bound(lower, lower_blocks),
        })
    }
}

fn sum(all: &ByClass, classes: &[Class]) -> Histogram<u64> {
    let mut sum = histogram();
    for of in classes.iter().filter_map(|class| all.get(class)) {
        // All histograms have equal bounds, so adding cannot fail.
        let _ = sum.add(of);
    }
    sum
}
