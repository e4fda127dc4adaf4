//! The HTML report of a result: one file that needs no network and no script.

pub(crate) mod compare;
mod curve;
mod gate;
mod goals;
mod page;
mod panels;
mod timeline;

use std::io;
use std::path::{Path, PathBuf};

use askama::Template;

use self::curve::{Curve, Source, look};
pub(crate) use self::gate::GateError;
use self::goals::Place;
use self::page::{Alert, Figure, Page};
use super::chart::Dash;
use super::stored::digest::Digest;
use super::stored::{StoredError, read_run};
use crate::base::files;
use crate::base::printable::printable;
use crate::harness::document::run::Run;

/// Reasons why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The result cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The result of the gate cannot be read.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The page cannot be rendered.
    #[error("cannot put the report together")]
    Template(#[from] askama::Error),
    /// The page cannot be written.
    #[error("cannot write `{path}`", path = path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// File name of a report in its folder.
pub(crate) const FILE: &str = "report.html";

/// Writes `report.html` into the folder of a run or of a gate, and returns its path.
///
/// # Errors
/// Returns [`ReportError`] when the result cannot be read or the page cannot be written.
pub(crate) fn write(folder: &Path) -> Result<PathBuf, ReportError> {
    let gate = gate::read(folder)?;
    let page = match gate {
        Some(gate) => gate::page(&gate, folder)?,
        None => of_folder(folder)?,
    };
    let path = folder.join(FILE);
    save(&page, &path, |path, html| files::replace(path, files::PLAIN, html))?;
    Ok(path)
}

/// Writes a page to the file that the user named.
///
/// # Errors
/// Returns [`ReportError`] when the file cannot be written.
pub(crate) fn write_to(path: &Path, page: &Page) -> Result<(), ReportError> {
    save(page, path, files::write)
}

fn save(
    page: &Page,
    path: &Path,
    write: impl FnOnce(&Path, &[u8]) -> io::Result<()>,
) -> Result<(), ReportError> {
    let html = page.render()?;
    // Names in results come from outside, so make them printable.
    write(path, printable(&html).as_bytes())
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

/// Builds the page of a result folder.
///
/// # Errors
/// Returns [`ReportError`] when the result cannot be read.
pub(crate) fn of_folder(folder: &Path) -> Result<Page, ReportError> {
    let run = read_run(folder)?;
    let mut digest = Digest::read(folder)?;
    match &run {
        Some(run) if run.interrupted.is_some() => digest.end(run.load.duration_s),
        Some(run) => digest.reach(run.load.duration_s),
        None => {}
    }
    Ok(page(folder, run.as_ref(), &digest))
}

fn page(folder: &Path, run: Option<&Run>, digest: &Digest) -> Page {
    let mut page = run.map_or_else(|| unfinished(folder), finished);
    if digest.is_cut() {
        page.alerts.push(Alert {
            title: "A log broke off".to_owned(),
            reasons: vec![
                "The run was killed while it wrote; what is shown ends before that.".to_owned(),
            ],
        });
    }
    page.figures = figures(digest, run);
    page
}

fn finished(run: &Run) -> Page {
    let commit = run.build.git_commit.get(..12).unwrap_or(&run.build.git_commit);
    Page {
        title: format!("{}: {}", run.scenario, run.target),
        lead: vec![
            format!("started {}, seed {}, run {}", run.started_at, run.seed, run.run_id),
            format!(
                "mintbench {} ({commit}) on {}, {} cores",
                run.build.version, run.host.cpu_model, run.host.cores
            ),
        ],
        badges: panels::badges(run),
        alerts: panels::alerts(run),
        summary: vec![panels::summary(run)],
        figures: Vec::new(),
        panels: panels::panels(run),
    }
}

fn unfinished(folder: &Path) -> Page {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    Page {
        title: format!("Unfinished run {}", name.unwrap_or_default()),
        alerts: vec![Alert {
            title: "This run did not end".to_owned(),
            reasons: vec![
                "There is no run.json: nothing was verified or judged, and nobody knows whether the generator kept up. What its logs hold is shown.".to_owned(),
            ],
        }],
        ..Page::default()
    }
}

fn figures(digest: &Digest, run: Option<&Run>) -> Vec<Figure> {
    let classes = digest.classes();
    if classes.is_empty() {
        return Vec::new();
    }
    let mut curves = Vec::new();
    for class in &classes {
        if let Some(histogram) = digest.response.whole.get(class) {
            let blocks = digest.response.blocks.of(*class);
            curves.push(Curve::of(&Source {
                name: format!("{class} response"),
                look: look(*class, Dash::Solid),
                histogram,
                blocks,
            }));
        }
        if let Some(histogram) = digest.service.whole.get(class) {
            curves.push(Curve::of(&Source {
                name: format!("{class} service"),
                look: look(*class, Dash::Strokes),
                histogram,
                blocks: &[],
            }));
        }
    }
    let text = "The share of requests that were at least this fast. The shaded band is the 95 % interval of the response; where it is missing the run is too short for one.";
    let goals = |class, place| run.map_or_else(Vec::new, |run| goals::of(run, class, place));
    let names = ["Latency by percentile", text];
    let mut figures =
        vec![curve::figure("percentiles", names, &curves, goals(None, Place::Percentile))];
    figures.extend(
        classes
            .iter()
            .map(|class| timeline::latencies(digest, *class, goals(Some(*class), Place::Time))),
    );
    figures.push(timeline::throughput(digest, run));
    figures.push(timeline::heat(digest));
    figures
}
