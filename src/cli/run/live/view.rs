//! Display of a run in progress: a view on a terminal, lines on a pipe, nothing when quiet.
//!
//! The view is redrawn in place, below the text on the screen. It does not change the terminal: no
//! raw mode, no other screen, no hidden cursor. Nothing needs to be restored, however the process
//! ends.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::{Header, Row, Tone, rows, time_left, title};
use crate::base::clock::readable;
use crate::cli::terminal::Stream;
use crate::harness::machine::cores::{Cores, keep_off};
use crate::harness::nanos::Nanos;
use crate::harness::session::progress::{Figures, RunProgress, Snapshot, Stage};

/// Kind of display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One line every few seconds.
    Lines,
    /// No display.
    Quiet,
    /// View that is redrawn in place.
    View,
}

impl Mode {
    /// Chooses the display that fits standard error.
    pub(super) fn of_terminal() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if Stream::Error.is_terminal() && !dumb { Self::View } else { Self::Lines }
    }
}

/// Thread that displays a run until this value is dropped.
#[derive(Debug)]
pub(super) struct LiveView {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Time between drawings. Drawing takes time from a core, so it is as rare as the eye allows.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// Terminal updates per second, at most; the view changes less often.
const DRAWS_PER_SECOND: u8 = 4;
/// Time between lines. A line a second would be a log of its own.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl LiveView {
    pub(super) fn start(
        mode: Mode,
        progress: Arc<RunProgress>,
        header: Header,
        cores: Cores,
    ) -> Self {
        let (end, ended) = channel::<()>();
        let every = match mode {
            Mode::Quiet => return Self { end: None, thread: None },
            Mode::Lines => LINE_EVERY,
            Mode::View => DRAW_EVERY,
        };
        // Without a thread the run continues without a display.
        let thread = std::thread::Builder::new().name("live".to_owned()).spawn(move || {
            keep_off(&cores);
            let view = (mode == Mode::View).then(|| {
                View::new(header.length, ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND))
            });
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let snapshot = progress.snapshot();
                match &view {
                    Some(view) => view.draw(&header, &snapshot),
                    // A reader that hangs up does not end the run.
                    None => Stream::Error.show(&(line(&header, &snapshot) + "\n")),
                }
            }
        });
        Self { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// View on a terminal, erased when dropped.
#[derive(Debug)]
struct View {
    bar: ProgressBar,
    paint: fn(Tone) -> &'static str,
}

impl View {
    fn new(length: Nanos, target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length.as_u64()), target);
        // See no-color.org.
        let paint = if std::env::var_os("NO_COLOR").is_none() { sgr } else { |_| "" };
        match ProgressStyle::with_template("{prefix}  {bar:40.green}\n{msg}") {
            Ok(style) => Self { bar: bar.with_style(style), paint },
            Err(_) => Self { bar, paint },
        }
    }

    fn draw(&self, header: &Header, snapshot: &Snapshot) {
        let mut text = title(header, snapshot);
        for row in rows(header, snapshot) {
            text.push('\n');
            text += &painted(&row, self.paint);
        }
        self.bar.set_prefix(time_left(header, snapshot));
        self.bar.set_message(text);
        self.bar.set_position(snapshot.elapsed.min(header.length).as_u64());
        self.bar.tick();
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn painted(row: &Row, paint: fn(Tone) -> &'static str) -> String {
    let (on, text) = (paint(row.tone), &row.text);
    if on.is_empty() { text.clone() } else { format!("{on}{text}\x1b[0m") }
}

/// Returns the escape sequence of a tone: select graphic rendition (ECMA-48 8.3.117).
const fn sgr(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "\x1b[1;31m",
        Tone::Faint => "\x1b[2m",
        Tone::Usual => "",
    }
}

/// Returns one line of a log.
pub(super) fn line(header: &Header, snapshot: &Snapshot) -> String {
    let elapsed = snapshot.elapsed / Nanos::SECOND;
    let stage = match snapshot.stage {
        Stage::Preparing => "preparing",
        Stage::WarmingUp => "warming up",
        Stage::Measuring => "measuring",
    };
    let Some(last) = snapshot.last else {
        return format!("{elapsed:>4} s  {stage}");
    };
    let Figures { rate, p50, p99, lag_p99, .. } = last;
    let meant = header.rate.map_or(String::new(), |rate| format!(" of {rate:.0}"));
    let errors = snapshot.so_far.map_or(0, |all| all.errors);
    let shown = |time: Option<Nanos>| time.map_or("-".to_owned(), |time| readable(time.as_u64()));
    format!(
        "{elapsed:>4} s  {stage}  {rate:.0}{meant} requests/s  p50 {}  p99 {}  lag p99 {}  {errors} errors so far",
        shown(p50),
        shown(p99),
        readable(lag_p99.as_u64())
    )
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::{header, snapshot};
    use super::*;

    #[test]
    fn a_line_says_what_the_last_second_was_like() {
        assert_eq!(
            line(&header(), &snapshot()),
            "  12 s  measuring  4998 of 5000 requests/s  p50 101 us  p99 421 us  lag p99 2.10 us  3 errors so far"
        );
        let start = Snapshot { last: None, stage: Stage::WarmingUp, ..snapshot() };
        assert_eq!(line(&header(), &start), "  12 s  warming up");
    }
}
