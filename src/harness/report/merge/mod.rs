//! Merges results exactly, by adding their histograms.
//!
//! Bucket counts are added second by second, so merging in steps gives the same as merging at once.
//! Values that are not sums (the hosts, the intended rates, invalid parts) are derived from the list of
//! parts, which a merged result carries. So intermediate merges leave no trace.

mod agreed;
mod bounds;
mod error;
mod parts;
mod piece;
mod run;
mod seconds;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub(crate) use self::error::MergeError;
use self::parts::collect;
pub(crate) use self::piece::Align;
use self::piece::Piece;
use self::seconds::Seconds;
use super::folder::{Folder, hlog};
use super::html;
use super::stored::Stored;
use super::stored::log::Interval;
use crate::base::clock::UnixSeconds;
use crate::harness::document::run::Run;
use crate::harness::record::intervals::Bound;

/// Merged result.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Merged `run.json`.
    pub(crate) run: Run,
    response: Seconds,
    /// Lower bounds of the response times; empty if a part has none.
    lower: Seconds,
    service: Seconds,
    lag: Seconds,
    start: UnixSeconds,
}

/// Merges the results in `folders`, which stay unchanged.
///
/// # Errors
/// Returns [`MergeError`], which names the folder and its fault.
pub(crate) fn merge(folders: &[PathBuf], align: Align) -> Result<Whole, MergeError> {
    let pieces = folders.iter().map(|path| Piece::read(path)).collect::<Result<Vec<_>, _>>()?;
    check(&pieces, align)?;
    let starts = pieces.iter().map(|piece| started(piece, align)).collect::<Result<Vec<_>, _>>()?;
    let start = starts.iter().min().copied().unwrap_or(UnixSeconds(0));
    let offset = |at: UnixSeconds| match align {
        Align::Index => 0,
        Align::Time => at.since(start).0,
    };
    let sum = |intervals: fn(&Stored) -> &[Interval]| {
        let mut sum = Seconds::default();
        for (piece, at) in pieces.iter().zip(&starts) {
            sum.add(intervals(&piece.stored), offset(*at));
        }
        sum
    };
    let response = sum(|stored| &stored.response.intervals);
    let service = sum(|stored| &stored.service.intervals);
    let lag = sum(|stored| &stored.lag.intervals);
    // Lower bounds of some of the answers only would bound no percentile of all.
    let have_lower = pieces.iter().all(|piece| piece.stored.response.has_lower());
    let lower = if have_lower { sum(|stored| &stored.response.lower) } else { Seconds::default() };
    let parts = collect(&pieces)?;
    let logs = run::Logs { response: &response, lower: &lower, service: &service, lag: &lag };
    let run = run::whole(&pieces, parts, align, &logs);
    Ok(Whole { run, response, lower, service, lag, start })
}

/// Returns the start of the first interval of a piece. It may be unknown if only the order counts.
fn started(piece: &Piece, align: Align) -> Result<UnixSeconds, MergeError> {
    let start = piece.stored.response.head.start;
    match align {
        Align::Index => Ok(start.unwrap_or(UnixSeconds(0))),
        Align::Time => start.ok_or_else(|| MergeError::Undated(piece.stored.path.clone())),
    }
}

/// Checks that the pieces can be merged.
fn check(pieces: &[Piece], align: Align) -> Result<(), MergeError> {
    let Some(first) = pieces.first() else { return Ok(()) };
    let expected = seconds::bounds();
    for Piece { stored, run } in pieces {
        let path = || stored.path.clone();
        let logs = [&stored.response, &stored.service, &stored.lag];
        let found = logs.into_iter().filter_map(|log| log.head.bounds);
        if let Some(found) = found.into_iter().find(|bounds| *bounds != expected) {
            return Err(MergeError::Bounds { path: path(), found, expected });
        }
        if let Some(merged) = run.merged.as_ref().filter(|merged| merged.align != align.as_str()) {
            return Err(MergeError::Realigned { path: path(), found: merged.align.clone() });
        }
        for (what, found, expected) in [
            ("scenario", &run.scenario, &first.run.scenario),
            ("arrivals", &run.load.arrivals, &first.run.load.arrivals),
        ] {
            if found != expected {
                let (found, expected) = (found.clone(), expected.clone());
                return Err(MergeError::Differ { path: path(), what, found, expected });
            }
        }
    }
    Ok(())
}

impl Whole {
    /// Writes the result and its report into a new folder.
    ///
    /// # Errors
    /// Returns [`MergeError`] when the folder cannot be written.
    pub(crate) fn write(&self, folder: Folder) -> Result<Folder, MergeError> {
        if let Err(error) = self.fill(&folder) {
            folder.discard();
            return Err(error);
        }
        html::write(folder.path())?;
        Ok(folder)
    }

    fn fill(&self, folder: &Folder) -> Result<(), MergeError> {
        let none = Seconds::default();
        for (name, lower, seconds) in [
            ("response", &self.lower, &self.response),
            ("service", &none, &self.service),
            ("lag", &none, &self.lag),
        ] {
            let path = folder.path().join(format!("{name}.hlog"));
            let (lower, upper) = (lower.spans(Bound::Lower), seconds.spans(Bound::Upper));
            let mut spans: Vec<_> = lower.chain(upper).collect();
            spans.sort_by_key(|(span, _)| (span.index, span.class, span.bound));
            hlog::write(&path, self.start, &mut spans.into_iter())
                .map_err(|source| MergeError::Log { path: folder.path().to_owned(), source })?;
        }
        Ok(folder
            .finish(self.response.whole().iter().map(|(class, of)| (*class, of)), &self.run)?)
    }
}
