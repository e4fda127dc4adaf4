//! Progress of a command that measures for minutes: one line, redrawn, on a terminal; a line for each step
//! elsewhere.
//!
//! It is drawn by the thread that measures, between steps: a thread of its own would disturb them.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::{Stream, say};
use crate::printable::name;

/// What a command does now, on standard error, until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    /// None without a terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing is shown before the first step.
    pub(super) fn start() -> Self {
        const DRAWS_PER_SECOND: u8 = 2;
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let bar = (Stream::Error.is_terminal() && !dumb).then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
            let bar = ProgressBar::with_draw_target(None, target);
            match ProgressStyle::with_template("{elapsed:>4}  {wide_msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { bar }
    }

    /// Shows the next step.
    pub(super) fn step(&self, what: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(name(&what));
                bar.tick();
            }
            None => say(what),
        }
    }

    /// Draws again, for the elapsed time.
    pub(super) fn tick(&self) {
        if let Some(bar) = &self.bar {
            bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The time that is left, as it is said.
pub(super) fn left(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("about {seconds:.0} s left")
    } else {
        format!("about {:.0} min left", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_seconds_or_in_minutes() {
        assert_eq!(left(41.6), "about 42 s left");
        assert_eq!(left(100.0), "about 2 min left");
        assert_eq!(left(0.0), "about 0 s left");
    }
}
