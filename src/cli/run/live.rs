//! What a run shows while it goes on: a view on a terminal, lines on a pipe, nothing when quiet.
//!
//! The view is redrawn in place, below what is on the screen already. It leaves the terminal as it
//! is: no raw mode, no other screen, no hidden cursor. So there is nothing to restore, however the
//! process ends.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::terminal;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::RunArgs;
use super::view::{Header, VIEW_LINES, render};
use crate::cli::terminal::Stream;
use crate::clock::readable;
use crate::load::board::{Board, Figures, Phase, Snapshot};
use crate::load::cores::{Cores, keep_off};
use crate::printable::printable;

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One line every few seconds.
    Lines,
    /// Not at all.
    Quiet,
    /// A view, redrawn in place.
    View,
}

impl Mode {
    /// What standard error is good for.
    pub(super) fn choose(args: &RunArgs) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match (args.quiet, Stream::Error.is_terminal() && !dumb) {
            (true, _) => Self::Quiet,
            (false, true) => Self::View,
            (false, false) => Self::Lines,
        }
    }
}

/// The thread that shows a run, until it is dropped.
#[derive(Debug)]
pub(super) struct Live {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Drawing takes time from a core: no more often than the eye needs.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// A line a second would be a log of its own.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Live {
    pub(super) fn start(mode: Mode, board: Arc<Board>, header: Header, cores: Cores) -> Self {
        let (end, ended) = channel::<()>();
        let every = match mode {
            Mode::Quiet => return Self { end: None, thread: None },
            Mode::Lines => LINE_EVERY,
            Mode::View => DRAW_EVERY,
        };
        // Without a thread the run goes on unseen.
        let thread = std::thread::Builder::new().name("live".to_owned()).spawn(move || {
            keep_off(&cores);
            let mut screen = Screen::default();
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let snapshot = board.snapshot();
                let text = match (mode, terminal::size()) {
                    (Mode::View, Ok((width, height))) if height > VIEW_LINES => {
                        screen.drawn(&header, &snapshot, width)
                    }
                    _ => line(&header, &snapshot) + "\n",
                };
                // A terminal that went away is no reason to end the run.
                let _ = Stream::Error.write_as_is(text.as_bytes());
            }
            let _ = Stream::Error.write_as_is(screen.cleared().as_bytes());
        });
        Self { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What was drawn last, to draw over it.
#[derive(Debug, Default)]
struct Screen {
    lines: u16,
}

impl Screen {
    /// What draws the view over the one before. One write: a terminal shows no half of it.
    fn drawn(&mut self, header: &Header, snapshot: &Snapshot, width: u16) -> String {
        let area = Rect::new(0, 0, width, VIEW_LINES);
        let mut buffer = Buffer::empty(area);
        render(header, snapshot, area, &mut buffer);
        // See no-color.org.
        let paint = if std::env::var_os("NO_COLOR").is_none() { sgr } else { plain };
        let text = format!("{}{}", self.up(), ansi(&buffer, paint));
        self.lines = VIEW_LINES;
        text
    }

    /// What erases the view.
    fn cleared(&mut self) -> String {
        let up = self.up();
        self.lines = 0;
        if up.is_empty() { up } else { up + "\x1b[J" }
    }

    /// To the start of what was drawn last (ECMA-48 8.3.22).
    fn up(&self) -> String {
        if self.lines == 0 { String::new() } else { format!("\r\x1b[{}A", self.lines) }
    }
}

/// The lines of a buffer, each with what is behind it erased.
fn ansi(buffer: &Buffer, paint: fn(&Cell) -> &'static str) -> String {
    let width = usize::from(buffer.area().width.max(1));
    let mut text = String::new();
    for row in buffer.content().chunks(width) {
        let mut style = "";
        for cell in row {
            let own = paint(cell);
            if own != style {
                text += "\x1b[0m";
                text += own;
                style = own;
            }
            text += &printable(cell.symbol());
        }
        let end = text.trim_end_matches(' ').len();
        text.truncate(end);
        text += if style.is_empty() { "\x1b[K\n" } else { "\x1b[0m\x1b[K\n" };
    }
    text
}

/// Select graphic rendition (ECMA-48 8.3.117), for the few styles of the view.
fn sgr(cell: &Cell) -> &'static str {
    match cell.fg {
        Color::Red => "\x1b[1;31m",
        Color::Green => "\x1b[32m",
        Color::Cyan => "\x1b[36m",
        _ if cell.modifier.contains(Modifier::BOLD) => "\x1b[1m",
        _ if cell.modifier.contains(Modifier::DIM) => "\x1b[2m",
        _ => "",
    }
}

const fn plain(_: &Cell) -> &'static str {
    ""
}

/// One line of a log.
pub(super) fn line(header: &Header, snapshot: &Snapshot) -> String {
    let elapsed = snapshot.elapsed_ns / 1_000_000_000;
    let phase = match snapshot.phase {
        Phase::Preparing => "preparing",
        Phase::WarmingUp => "warming up",
        Phase::Measuring => "measuring",
    };
    let Some(last) = snapshot.last else {
        return format!("{elapsed:>4} s  {phase}");
    };
    let Figures { rate, p50_ns, p99_ns, lag_p99_ns, .. } = last;
    let meant = header.rate.map_or(String::new(), |rate| format!(" of {rate:.0}"));
    let errors = snapshot.so_far.map_or(0, |all| all.errors);
    let shown = |ns: Option<u64>| ns.map_or("-".to_owned(), readable);
    format!(
        "{elapsed:>4} s  {phase}  {rate:.0}{meant} requests/s  p50 {}  p99 {}  lag p99 {}  {errors} errors so far",
        shown(p50_ns),
        shown(p99_ns),
        readable(lag_p99_ns)
    )
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{header, snapshot};
    use super::*;

    #[test]
    fn a_line_says_what_the_last_second_was_like() {
        assert_eq!(
            line(&header(), &snapshot()),
            "  12 s  measuring  4998 of 5000 requests/s  p50 101 us  p99 421 us  lag p99 2.10 us  3 errors so far"
        );
        let start = Snapshot { last: None, phase: Phase::WarmingUp, ..snapshot() };
        assert_eq!(line(&header(), &start), "  12 s  warming up");
    }

    #[test]
    fn the_view_is_drawn_over_itself_and_erased_at_the_end() {
        let mut screen = Screen::default();
        assert_eq!(screen.cleared(), "");
        let first = screen.drawn(&header(), &snapshot(), 80);
        assert_eq!(first.matches('\n').count(), usize::from(VIEW_LINES));
        assert!(!first.starts_with('\r'));
        let second = screen.drawn(&header(), &snapshot(), 80);
        let up = format!("\r\x1b[{VIEW_LINES}A");
        assert_eq!(second, format!("{up}{first}"));
        assert_eq!(screen.cleared(), format!("{up}\x1b[J"));
    }

    #[test]
    fn nothing_but_text_and_cursor_moves_is_written() {
        let text = Screen::default().drawn(&header(), &snapshot(), 80);
        // No private modes: those are what a terminal would have to be restored from.
        assert!(!text.contains("\x1b[?"), "{text:?}");
    }
}
