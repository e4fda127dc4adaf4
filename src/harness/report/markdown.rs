//! A run as GitHub Markdown, for a comment on a pull request.

use std::cmp::Reverse;
use std::fmt::{self, Write as _};
use std::path::Path;

use super::metrics::MetricsError;
use super::text::{pauses, statement};
use crate::base::clock::readable_us;
use crate::base::files;
use crate::base::printable;
use crate::harness::document::percentiles::{Percentiles, ResponsePercentiles};
use crate::harness::document::run::Run;
use crate::harness::document::run::slo::Slo;

/// Writes a run as Markdown.
///
/// # Errors
/// Returns [`MetricsError::Write`] when the file cannot be written.
pub(crate) fn write(run: &Run, path: &Path) -> Result<(), MetricsError> {
    let written = files::write(path, render(run).as_bytes());
    written.map_err(|source| MetricsError::Write { path: path.to_owned(), source })
}

/// Returns a heading, the verdict, the tables, and what a reader of the numbers should know.
pub(crate) fn render(run: &Run) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = sections(&mut text, run);
    text
}

fn sections(text: &mut String, run: &Run) -> fmt::Result {
    writeln!(text, "### mintbench run: {}\n", escaped(&run.scenario))?;
    writeln!(text, "**{}**\n", escaped(verdict(run)))?;
    if let Some(paused) = pauses::headline(&run.load) {
        writeln!(text, "PAUSED: {}\n", escaped(&paused))?;
    }
    classes(text, run)?;
    if run.phases.len() > 1 {
        phases(text, run)?;
    }
    facts(text, run)?;
    remarks(text, run)
}

/// Returns the verdict, in the order in which it decides the exit code.
fn verdict(run: &Run) -> &'static str {
    let any = |met: Option<bool>| run.slo.iter().any(|slo| slo.met == met);
    if !run.checks.passed {
        "failed a check"
    } else if !run.validity.valid {
        "invalid: the figures are not about the target alone"
    } else if any(Some(false)) {
        "valid, an objective is missed"
    } else if any(None) {
        "valid, and an objective cannot be judged"
    } else {
        "valid"
    }
}

/// Writes a table of the classes, with response and service times.
fn classes(text: &mut String, run: &Run) -> fmt::Result {
    head(text, ["class", "time"])?;
    for (class, of) in &run.classes {
        row(text, [class.as_str(), "response"], Some(of.count), &bounded(of.response_us))?;
        row(text, ["", "service"], None, &plain(of.service_us))?;
    }
    writeln!(text)
}

/// Writes a table of the phases, with response times.
fn phases(text: &mut String, run: &Run) -> fmt::Result {
    head(text, ["phase", "class"])?;
    for phase in &run.phases {
        for (class, of) in &phase.classes {
            row(text, [&phase.name, class.as_str()], Some(of.count), &bounded(of.response_us))?;
        }
    }
    writeln!(text)
}

fn head(text: &mut String, [first, second]: [&str; 2]) -> fmt::Result {
    writeln!(text, "| {first} | {second} | count | p50 | p90 | p99 | p99.9 | max |")?;
    writeln!(text, "|:--|:--|--:|--:|--:|--:|--:|--:|")
}

fn row(
    text: &mut String,
    names: [&str; 2],
    count: Option<u64>,
    percentiles: &[String; 5],
) -> fmt::Result {
    let [first, second] = names.map(escaped);
    let count = count.map_or_else(String::new, |count| count.to_string());
    write!(text, "| {first} | {second} | {count} |")?;
    percentiles.iter().try_for_each(|time| write!(text, " {} |", escaped(time)))?;
    writeln!(text)
}

/// Returns the cells of response times, each with the mark of its standing.
fn bounded(of: ResponsePercentiles) -> [String; 5] {
    of.named().map(|(_, of)| statement::cell(of))
}

fn plain(Percentiles { p50, p90, p99, p999, max }: Percentiles) -> [String; 5] {
    [p50, p90, p99, p999, max].map(|us| us.map_or("-".to_owned(), readable_us))
}

/// Writes the target, the load, the answers and the objectives.
fn facts(text: &mut String, run: &Run) -> fmt::Result {
    let load = &run.load;
    let rate = load.rate_target.map_or_else(String::new, |rate| format!("{rate} requests/s, "));
    item(text, "target", &run.target)?;
    item(
        text,
        "load",
        &format!(
            "{rate}{} arrivals, {} s after {} s of warm-up, {} connections, {} requests",
            load.arrivals, load.duration_s, load.warmup_s, load.connections, load.scheduled
        ),
    )?;
    item(text, "answers", &counts(&run.statuses))?;
    match &run.causes {
        Some(causes) if !causes.is_empty() => item(text, "causes of failures", &counts(causes))?,
        _ => {}
    }
    for slo in &run.slo {
        item(text, "objective", &judged(slo))?;
    }
    for (class, of) in &run.classes {
        if let Some([low, high]) = of.p99_interval_us.map(|ends| ends.map(readable_us)) {
            let interval = format!("the p99 of {class} lies within {low} to {high} (95 %)");
            item(text, "interval", &interval)?;
        }
    }
    Ok(())
}

/// Writes what is wrong or worth knowing, and where the run took place.
fn remarks(text: &mut String, run: &Run) -> fmt::Result {
    for (label, texts) in [
        ("FAILED", &run.checks.failures),
        ("INVALID", &run.validity.reasons),
        ("disturbed", &run.validity.disturbances),
        ("note", &run.notes),
    ] {
        texts.iter().try_for_each(|remark| item(text, label, remark))?;
    }
    if let Some(interrupted) = &run.interrupted {
        item(text, "PARTIAL", &format!("{} s were planned", interrupted.planned_s))?;
    }
    item(text, "host", &run.host.to_string())?;
    let build = &run.build;
    let by = format!("mintbench {} ({}), {}", build.version, build.git_commit, run.started_at);
    item(text, "measured by", &by)
}

/// Writes an item of a list.
fn item(text: &mut String, label: &str, content: &str) -> fmt::Result {
    writeln!(text, "- {label}: {}", escaped(content))
}

/// Returns counts, the highest first.
fn counts(counts: &std::collections::BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(**count));
    let counts = counts.into_iter().map(|(what, count)| format!("{count} x {what}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn judged(slo: &Slo) -> String {
    let phase = slo.phase.as_ref().map_or_else(String::new, |phase| format!("{phase} "));
    let verdict = match slo.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "cannot tell",
    };
    let measured = slo.measured_us.map_or_else(String::new, |us| format!(" ({})", readable_us(us)));
    format!("{phase}{}: {verdict}{measured}", slo.objective)
}

/// Characters with a meaning in Markdown, or in what GitHub makes of it: tags, tables, emphasis, code,
/// links, mentions and references.
const SPECIAL: &str = "&<>|*_`~[]@#\\";

/// Escapes text from outside, so that it shows as it is, on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in printable::name(text).chars() {
        if SPECIAL.contains(char) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "&#{};", u32::from(char));
        } else {
            escaped.push(char);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::stored::read_run;

    fn stored() -> Run {
        read_run(Path::new("results/reference/steady")).unwrap().unwrap()
    }

    /// Returns the cells of each row of each table.
    fn tables(text: &str) -> Vec<Vec<&str>> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        rows.map(|row| row.split(" | ").collect()).collect()
    }

    #[test]
    fn a_run_is_a_table_with_its_verdict_and_its_load() {
        let mut run = stored();
        run.validity.valid = true;
        run.checks.passed = true;
        run.slo.clear();
        let text = render(&run);
        assert!(text.starts_with("### mintbench run: steady\n\n**valid**\n\n| class |"), "{text}");
        let tables = tables(&text);
        assert!(tables.iter().all(|row| row.len() == 8), "{tables:?}");
        let hit = tables.iter().find(|row| row[0] == "hit").unwrap();
        let of = run.classes.values().next().unwrap();
        assert_eq!(hit[2], of.count.to_string());
        assert_eq!(hit[5], statement::cell(of.response_us.p99));
        assert!(text.contains("\n- load: 5000 requests/s, poisson arrivals, "), "{text}");
    }

    #[test]
    fn long_pauses_are_said_before_the_figures() {
        let mut run = stored();
        let mut paused = |share: f64| {
            run.load.paused_s = Some(share * run.load.duration_s);
            render(&run)
        };
        assert!(!paused(0.04).contains("PAUSED"));
        let text = paused(0.2);
        let (paused, table) = (text.find("PAUSED: for 20 % of the time"), text.find("| class |"));
        assert!(paused.is_some() && paused < table, "{text}");
    }

    #[test]
    fn the_verdict_is_the_worst_that_was_found() {
        let mut run = stored();
        run.validity.valid = true;
        run.checks.passed = true;
        run.slo.clear();
        let slo = |met| Slo {
            objective: "p99<2ms".to_owned(),
            phase: None,
            measured_us: None,
            lower_us: None,
            met,
            extra: crate::harness::document::extra::Extra::new(),
        };
        assert_eq!(verdict(&run), "valid");
        run.slo.push(slo(None));
        assert!(verdict(&run).contains("cannot be judged"));
        run.slo.push(slo(Some(false)));
        assert!(verdict(&run).contains("missed"));
        assert!(render(&run).contains("- objective: p99&#60;2ms: MISSED\n"));
        run.validity.valid = false;
        assert!(verdict(&run).starts_with("invalid"));
        run.checks.passed = false;
        assert!(verdict(&run).starts_with("failed"));
    }

    #[test]
    fn text_from_outside_is_shown_and_does_nothing() {
        let mut run = stored();
        let evil = "a|b\n# <img> @all [x](y) `c` **d** \u{1b}[31m\u{202e}";
        run.scenario = evil.to_owned();
        run.target = evil.to_owned();
        run.notes = vec![evil.to_owned()];
        run.causes = Some([(evil.to_owned(), 1)].into());
        let text = render(&run);
        assert!(!text.chars().any(|char| char != '\n' && char.is_control()), "{text}");
        for part in ["a|b", "<img>", "@all", "[x]", "`c`", "**d**", "\u{202e}"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with('#')).count(), 1);
        assert!(text.contains("a&#124;b&#92;n&#35; &#60;img&#62; &#64;all"), "{text}");
    }
}
