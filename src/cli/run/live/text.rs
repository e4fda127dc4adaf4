//! Content of the live view, independent of the terminal.

use std::fmt::Write;

use crate::base::clock::readable;
use crate::base::printable::name;
use crate::harness::nanos::Nanos;
use crate::harness::session::progress::{Figures, Snapshot, Stage};

/// Properties that do not change during a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) scenario: String,
    pub(super) target: String,
    /// Planned requests per second; `None` for bursts.
    pub(super) rate: Option<f64>,
    pub(super) warmup: Nanos,
    /// Length of the run, warm-up included.
    pub(super) length: Nanos,
}

/// Emphasis of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Heading.
    Faint,
    /// Value that makes the run worse.
    Bad,
    /// Other figure.
    Usual,
}

/// Line of the view.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Row {
    const fn usual(text: String) -> Self {
        Self { text, tone: Tone::Usual }
    }
}

/// Returns the first line: the scenario, the target and the stage of the run.
pub(super) fn title(header: &Header, snapshot: &Snapshot) -> String {
    let stage = match snapshot.stage {
        Stage::Preparing => "preparing, pacer self-test",
        Stage::WarmingUp => "warming up",
        Stage::Measuring => "measuring",
    };
    format!("{} {}  {stage}", name(&header.scenario), name(&header.target))
}

/// Returns the time until the end of the run, in seconds.
pub(super) fn time_left(header: &Header, snapshot: &Snapshot) -> String {
    let left = header.length.saturating_sub(snapshot.elapsed).div_ceil(Nanos::SECOND);
    format!("{left:>5} s left")
}

/// Returns the figures of the last second beside those of all seconds.
pub(super) fn rows(header: &Header, snapshot: &Snapshot) -> Vec<Row> {
    let planned = header.rate.map_or(String::new(), |rate| format!("   of {rate:.0}/s"));
    let shown = |time: Option<Nanos>| time.map_or("-".to_owned(), |time| readable(time.as_u64()));
    let late = if snapshot.on_time { "" } else { "   late: upper bounds only" };
    let bad = |bad: bool| if bad { Tone::Bad } else { Tone::Usual };
    let failed = snapshot.so_far.is_some_and(|all| all.errors > 0);
    let row =
        |name, value: &dyn Fn(&Figures) -> String, remark: &str| row(snapshot, name, value, remark);
    vec![
        heading(snapshot),
        row("rate", &|f| format!("{:.0}/s", f.rate), &planned),
        row("p50", &|f| shown(f.p50), ""),
        row("p99", &|f| shown(f.p99), ""),
        Row {
            tone: bad(!snapshot.on_time),
            ..row("lag p99", &|f| readable(f.lag_p99.as_u64()), late)
        },
        Row { tone: bad(failed), ..row("errors", &|f| f.errors.to_string(), "") },
        row("hits", &|f| count(f.hits), ""),
        row("mints", &|f| count(f.mints), ""),
        Row::usual(format!("{:12}{}", "p99 by s", sparkline(&snapshot.p99_us))),
    ]
}

fn heading(snapshot: &Snapshot) -> Row {
    let text = format!("{:12}{:>14}{:>14}", "", "last second", format!("{} s", snapshot.seconds));
    Row { text, tone: Tone::Faint }
}

fn row(snapshot: &Snapshot, name: &str, value: &dyn Fn(&Figures) -> String, remark: &str) -> Row {
    let cell = |figures: &Option<Figures>| figures.as_ref().map_or("-".to_owned(), value);
    let (last, all) = (cell(&snapshot.last), cell(&snapshot.so_far));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{name:12}{last:>14}{all:>14}{remark}");
    Row::usual(text)
}

fn count(counted: Option<u64>) -> String {
    counted.map_or("-".to_owned(), |count| count.to_string())
}

/// Number of seconds that the sparkline shows, the latest ones.
const SECONDS_SHOWN: usize = 60;

/// Returns a bar for each value, as high as its share of the largest.
fn sparkline(values: &[u64]) -> String {
    const BARS: [char; 8] = [
        '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
        '\u{2588}',
    ];
    let from = values.len().saturating_sub(SECONDS_SHOWN);
    let latest = values.get(from..).unwrap_or_default();
    let largest = latest.iter().copied().max().unwrap_or(0).max(1);
    let eighth = |value: &u64| usize::try_from(value.saturating_mul(7) / largest).unwrap_or(0);
    latest.iter().filter_map(|value| BARS.get(eighth(value))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn header() -> Header {
        Header {
            scenario: "steady".to_owned(),
            target: "http://127.0.0.1:8169/".to_owned(),
            rate: Some(5000.0),
            warmup: Nanos::from_secs(5),
            length: Nanos::from_secs(35),
        }
    }

    pub(crate) fn snapshot() -> Snapshot {
        let last = Figures {
            rate: 4998.0,
            p50: Some(Nanos::new(101_200)),
            p99: Some(Nanos::new(420_900)),
            lag_p99: Nanos::new(2_100),
            errors: 0,
            hits: Some(4998),
            mints: Some(0),
        };
        Snapshot {
            stage: Stage::Measuring,
            elapsed: Nanos::from_secs(12),
            seconds: 7,
            last: Some(last),
            so_far: Some(Figures { rate: 5001.0, errors: 3, hits: Some(35_004), ..last }),
            p99_us: vec![400, 410, 420, 800, 430, 420, 420],
            on_time: true,
        }
    }

    fn drawn(snapshot: &Snapshot) -> Vec<String> {
        rows(&header(), snapshot).into_iter().map(|row| row.text).collect()
    }

    #[test]
    fn the_view_shows_the_last_second_beside_all_of_them() {
        assert_eq!(title(&header(), &snapshot()), "steady http://127.0.0.1:8169/  measuring");
        assert_eq!(time_left(&header(), &snapshot()), "   23 s left");
        assert_eq!(
            drawn(&snapshot()),
            [
                "               last second           7 s",
                "rate                4998/s        5001/s   of 5000/s",
                "p50                 101 us        101 us",
                "p99                 421 us        421 us",
                "lag p99            2.10 us       2.10 us",
                "errors                   0             3",
                "hits                  4998         35004",
                "mints                    0             0",
                // The bar of the slowest second is twice as high as the others'.
                "p99 by s    \u{2584}\u{2584}\u{2584}\u{2588}\u{2584}\u{2584}\u{2584}",
            ]
        );
    }

    #[test]
    fn what_is_not_known_yet_is_a_dash() {
        let start = Snapshot {
            stage: Stage::Preparing,
            elapsed: Nanos::ZERO,
            seconds: 0,
            last: None,
            so_far: None,
            p99_us: Vec::new(),
            on_time: true,
        };
        assert!(title(&header(), &start).ends_with("pacer self-test"));
        assert_eq!(drawn(&start)[2], "p50                      -             -");
    }

    #[test]
    fn a_generator_that_is_late_is_called_out_while_the_run_goes_on() {
        let rows = rows(&header(), &Snapshot { on_time: false, ..snapshot() });
        assert!(rows[4].text.ends_with("late: upper bounds only"), "{}", rows[4].text);
        assert_eq!(rows[4].tone, Tone::Bad);
    }

    #[test]
    fn only_the_latest_seconds_are_drawn() {
        let bars = sparkline(&[u64::MAX; 100]);
        assert_eq!(bars.chars().count(), SECONDS_SHOWN);
    }
}
