//! Progress of a command that measures for minutes. A terminal gets one line that is redrawn; other
//! outputs get a line for each step.
//!
//! The measuring thread draws it between steps, because a separate thread would disturb the measurement.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::{Stream, say};
use crate::base::printable::name;

/// Current step of a command, shown on standard error until dropped.
#[derive(Debug)]
pub(super) struct Progress {
    /// Progress bar; none without a terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts the display. Nothing is shown before the first step.
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

    /// Redraws the elapsed time.
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

/// Formats the time left.
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
