//! The undisturbed view of a run, for `run.json`.

use crate::base::clock::us;
use crate::harness::document::extra::Extra;
use crate::harness::document::run::undisturbed::{
    Undisturbance, Undisturbed, UndisturbedClass, UndisturbedPercentiles,
};
use crate::harness::judge::undisturbed::{self, Hidden, Quantiles, Quiet};

/// Returns the section of a run; none without good answers that were kept one by one.
pub(super) fn of(view: &undisturbed::Undisturbed) -> Option<Undisturbed> {
    let classes = view.classes.iter().map(|(class, of)| (*class, class_of(of)));
    (!view.classes.is_empty()).then(|| Undisturbed {
        disturbances: view.seen,
        lost_s: us(view.lost.as_u64()) / 1e6,
        utilisation: view.utilisation,
        classes: classes.collect(),
        extra: Extra::new(),
    })
}

fn class_of(of: &Result<Quiet, Hidden>) -> UndisturbedClass {
    UndisturbedClass {
        kept: of.as_ref().ok().map(figures),
        note: of.as_ref().err().map(ToString::to_string),
        extra: Extra::new(),
    }
}

fn figures(quiet: &Quiet) -> Undisturbance {
    Undisturbance {
        count: quiet.count,
        share: quiet.share,
        guard_us: us(quiet.guard.as_u64()),
        response_us: percentiles(quiet.response),
        lower_us: percentiles(quiet.lower),
        p99_interval_us: quiet.p99_interval.ok().map(|(low, high)| [low, high].map(us)),
        extra: Extra::new(),
    }
}

fn percentiles(of: Quantiles) -> UndisturbedPercentiles {
    UndisturbedPercentiles {
        p50: us(of.p50),
        p90: us(of.p90),
        p99: us(of.p99),
        p999: of.p999.map(us),
    }
}
