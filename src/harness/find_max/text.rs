//! The terminal output of a search.

use super::summary::shown;
use crate::harness::document::find_max::{FindMax, Level, Verdict};
use crate::harness::report::text::layout::grid;
use crate::harness::report::text::pauses;
use crate::harness::report::text::statement::cell;

/// Returns the heading, the table of the levels and the sentences.
pub(crate) fn render(of: &FindMax) -> String {
    let notes = of.notes.iter().map(|note| format!("note      {note}\n"));
    let heading = format!(
        "find-max  {}  {}\nhighest rate within {} ({}), {} connections\n",
        of.scenario,
        of.target,
        of.objectives.join(", "),
        of.load.arrivals,
        of.load.connections
    );
    let sentences = of.sentences.iter().enumerate().map(|(index, sentence)| {
        let label = if index == 0 { "answer" } else { "" };
        format!("{label:10}{sentence}\n")
    });
    let [notes, sentences] = [notes.collect::<String>(), sentences.collect()];
    format!("{notes}\n{heading}\n{}\n{sentences}", table(&of.levels))
}

/// Returns the table of the levels, in the order of measurement.
pub(crate) fn table(levels: &[Level]) -> String {
    let head = ["verdict", "rate/s", "sent/s", "answered/s", "p50", "p99", "failed", "length"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(levels.iter().map(row));
    grid(1, &rows)
}

fn row(level: &Level) -> Vec<String> {
    vec![
        word(level.verdict).to_owned(),
        shown(level.rate),
        shown(level.rate_achieved),
        shown(level.rate_answered),
        cell(level.response_us.p50),
        cell(level.response_us.p99),
        level.failed.to_string(),
        length(level),
    ]
}

/// Returns the length of a level, with the share in which it paused if that is large.
fn length(level: &Level) -> String {
    let paused = pauses::long(pauses::share(level.paused_s, level.duration_s));
    let paused =
        paused.map_or_else(String::new, |share| format!(", {:.0} % paused", 100.0 * share));
    format!("{:.0} s{paused}", level.duration_s)
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Open => "cannot tell",
        Verdict::Unsent => "not sent",
    }
}
