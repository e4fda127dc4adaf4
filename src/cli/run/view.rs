//! The picture of a run: what is where, and nothing of terminals.

use std::fmt::Write;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Paragraph, Sparkline, Widget};

use crate::load::board::{Figures, Phase, Snapshot};

/// What does not change during a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) scenario: String,
    pub(super) target: String,
    /// Requests per second that are meant; none for bursts.
    pub(super) rate: Option<f64>,
    pub(super) warmup_ns: u64,
    /// Warm-up included.
    pub(super) length_ns: u64,
}

/// The height of the view.
pub(super) const VIEW_LINES: u16 = 12;

/// Draws a run into `area`.
pub(super) fn render(header: &Header, snapshot: &Snapshot, area: Rect, buffer: &mut Buffer) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(8),
        Constraint::Length(2),
    ]);
    let [title, bar, table, spark] = rows.areas(area);
    Paragraph::new(title_line(header, snapshot)).render(title, buffer);
    progress(header, snapshot).render(bar, buffer);
    Paragraph::new(table_lines(header, snapshot)).render(table, buffer);
    let [label, graph] =
        Layout::horizontal([Constraint::Length(LABEL), Constraint::Min(1)]).areas(spark);
    Paragraph::new("p99 each\nsecond").style(Style::new().dim()).render(label, buffer);
    let shown = usize::from(graph.width);
    let from = snapshot.p99_us.len().saturating_sub(shown);
    let latest = snapshot.p99_us.get(from..).unwrap_or_default();
    Sparkline::default().data(latest).style(Style::new().fg(Color::Cyan)).render(graph, buffer);
}

/// The width of the first column.
const LABEL: u16 = 12;

fn title_line(header: &Header, snapshot: &Snapshot) -> Line<'static> {
    let phase = match snapshot.phase {
        Phase::Preparing => "preparing, pacer self-test",
        Phase::WarmingUp => "warming up",
        Phase::Measuring => "measuring",
    };
    let title = format!("{} ", header.scenario);
    Line::from(vec![
        Span::styled(title, Style::new().bold()),
        Span::styled(format!("{}  ", header.target), Style::new().dim()),
        Span::raw(phase),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn progress(header: &Header, snapshot: &Snapshot) -> LineGauge<'static> {
    let share = snapshot.elapsed_ns as f64 / header.length_ns.max(1) as f64;
    let left = header.length_ns.saturating_sub(snapshot.elapsed_ns).div_ceil(1_000_000_000);
    LineGauge::default()
        .ratio(share.clamp(0.0, 1.0))
        .label(format!("{left:>5} s left "))
        .filled_style(Style::new().fg(Color::Green))
}

fn table_lines(header: &Header, snapshot: &Snapshot) -> Vec<Line<'static>> {
    let mut lines = vec![heading(snapshot)];
    let meant = header.rate.map_or(String::new(), |rate| format!("   of {rate:.0}/s"));
    lines.push(row(snapshot, "rate", |f| format!("{:.0}/s", f.rate), &meant));
    lines.push(row(snapshot, "p50", |f| f.p50_ns.map_or("-".to_owned(), us), ""));
    lines.push(row(snapshot, "p99", |f| f.p99_ns.map_or("-".to_owned(), us), ""));
    let late = if snapshot.on_time { "" } else { "   too late: run invalid" };
    let (red, usual) = (Style::new().fg(Color::Red), Style::new());
    let style = if snapshot.on_time { usual } else { red };
    lines.push(row(snapshot, "lag p99", |f| us(f.lag_p99_ns), late).style(style));
    let style = if snapshot.so_far.is_some_and(|all| all.errors > 0) { red } else { usual };
    lines.push(row(snapshot, "errors", |f| f.errors.to_string(), "").style(style));
    lines.push(row(snapshot, "hits", |f| count(f.hits), ""));
    lines.push(row(snapshot, "mints", |f| count(f.mints), ""));
    lines
}

fn heading(snapshot: &Snapshot) -> Line<'static> {
    let text = format!("{:12}{:>14}{:>14}", "", "last second", format!("{} s", snapshot.seconds));
    Line::styled(text, Style::new().dim())
}

fn row(
    snapshot: &Snapshot,
    name: &str,
    value: impl Fn(&Figures) -> String,
    remark: &str,
) -> Line<'static> {
    let cell = |figures: &Option<Figures>| figures.as_ref().map_or("-".to_owned(), &value);
    let (last, all) = (cell(&snapshot.last), cell(&snapshot.so_far));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{name:12}{last:>14}{all:>14}{remark}");
    Line::raw(text)
}

fn us(ns: u64) -> String {
    format!("{}.{} us", ns / 1000, ns % 1000 / 100)
}

fn count(counted: Option<u64>) -> String {
    counted.map_or("-".to_owned(), |count| count.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    pub(in crate::cli::run) fn header() -> Header {
        Header {
            scenario: "steady".to_owned(),
            target: "http://127.0.0.1:8169/".to_owned(),
            rate: Some(5000.0),
            warmup_ns: 5_000_000_000,
            length_ns: 35_000_000_000,
        }
    }

    pub(in crate::cli::run) fn snapshot() -> Snapshot {
        let last = Figures {
            rate: 4998.0,
            p50_ns: Some(101_200),
            p99_ns: Some(420_900),
            lag_p99_ns: 2_100,
            errors: 0,
            hits: Some(4998),
            mints: Some(0),
        };
        Snapshot {
            phase: Phase::Measuring,
            elapsed_ns: 12_000_000_000,
            seconds: 7,
            last: Some(last),
            so_far: Some(Figures { rate: 5001.0, errors: 3, hits: Some(35_004), ..last }),
            p99_us: vec![400, 410, 420, 800, 430, 420, 420],
            on_time: true,
        }
    }

    fn drawn(snapshot: &Snapshot) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(72, VIEW_LINES)).unwrap();
        let draw = |frame: &mut ratatui::Frame<'_>| {
            render(&header(), snapshot, frame.area(), frame.buffer_mut());
        };
        terminal.draw(draw).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |cells: &[ratatui::buffer::Cell]| -> String {
            cells.iter().map(ratatui::buffer::Cell::symbol).collect()
        };
        buffer.content().chunks(72).map(|cells| row(cells).trim_end().to_owned()).collect()
    }

    #[test]
    fn the_view_shows_the_last_second_beside_all_of_them() {
        let lines = drawn(&snapshot());
        assert_eq!(lines[0], "steady http://127.0.0.1:8169/  measuring");
        assert!(lines[1].starts_with("   23 s left"), "{}", lines[1]);
        assert_eq!(
            lines[2..10],
            [
                "               last second           7 s",
                "rate                4998/s        5001/s   of 5000/s",
                "p50               101.2 us      101.2 us",
                "p99               420.9 us      420.9 us",
                "lag p99             2.1 us        2.1 us",
                "errors                   0             3",
                "hits                  4998         35004",
                "mints                    0             0",
            ]
        );
        assert!(lines[10].starts_with("p99 each"), "{}", lines[10]);
        // The bar of the slowest second is twice as high as the others'.
        assert!(lines[10].contains('█') && lines[11].contains('█'), "{lines:?}");
    }

    #[test]
    fn what_is_not_known_yet_is_a_dash() {
        let start = Snapshot {
            phase: Phase::Preparing,
            elapsed_ns: 0,
            seconds: 0,
            last: None,
            so_far: None,
            p99_us: Vec::new(),
            on_time: true,
        };
        let lines = drawn(&start);
        assert!(lines[0].ends_with("pacer self-test"), "{}", lines[0]);
        assert_eq!(lines[4], "p50                      -             -");
    }

    #[test]
    fn a_generator_that_is_late_is_called_out_while_the_run_goes_on() {
        let lines = drawn(&Snapshot { on_time: false, ..snapshot() });
        assert!(lines[6].ends_with("too late: run invalid"), "{}", lines[6]);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_view_and_nothing_else() {
        for width in 1..40 {
            let area = Rect::new(0, 0, width, VIEW_LINES);
            let mut buffer = Buffer::empty(area);
            render(&header(), &snapshot(), area, &mut buffer);
            assert_eq!(*buffer.area(), area);
        }
    }
}
