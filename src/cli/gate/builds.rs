//! The two builds of a gate: finds their executables and checks that they are mintbench.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;

use super::args::GateArgs;
use super::revision::{self, RevisionError};
use super::version::{self, VersionError};
use crate::base::printable;
use crate::harness::document::gate::BuildName;
use crate::harness::gate::baseline::Baseline;
use crate::harness::gate::count::server::Kind;
use crate::harness::gate::leg::{Leg, Side};
use crate::harness::machine::stop::Stop;
use crate::harness::session::serve_process::this_program;

/// Reasons why a build cannot be compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error("cannot find the {side} `{path}`; name an executable", path = path.display())]
    Find { side: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot run the {side} `{path}`; name a mintbench executable", path = path.display())]
    Run { side: &'static str, path: PathBuf, source: VersionError },
    #[error("the {side} `{path}` is not a mintbench: asked for its --version it {said}", path = path.display())]
    Foreign { side: &'static str, path: PathBuf, said: String },
    #[error(transparent)]
    Revision(#[from] RevisionError),
}

/// Base build that the candidate is compared with.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) name: BuildName,
    pub(super) source: Source,
}

/// Source of the base's numbers.
#[derive(Debug)]
pub(super) enum Source {
    /// Executable that is measured beside the candidate.
    Program(PathBuf),
    /// Stored run.
    Stored(Box<Leg>),
}

/// Candidate build that is judged.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: BuildName,
    pub(super) program: PathBuf,
}

/// Both builds of a gate.
#[derive(Debug)]
pub(super) struct Builds {
    pub(super) base: Base,
    pub(super) candidate: Candidate,
}

impl Builds {
    /// Finds both builds. If the base is a revision, builds it.
    pub(super) fn find(
        args: &GateArgs,
        baseline: Option<Baseline>,
        stop: &Arc<Stop>,
    ) -> Result<Self, BuildError> {
        // Check the candidate first: a typing error is found at once, but a base takes minutes to build.
        let candidate = candidate(args, stop)?;
        let base = match (baseline, &args.base_rev, &args.base) {
            (Some(baseline), ..) => stored(args, baseline),
            (None, Some(revision), _) => built(revision, stop)?,
            (None, None, path) => given(path.as_deref().unwrap_or(&candidate.program), stop)?,
        };
        Ok(Self { base, candidate })
    }
}

/// Both builds of a gate that counts.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) base: Candidate,
    pub(super) candidate: Candidate,
}

impl Counted {
    /// Finds both builds, which are executables. Those of a broker are checked to be mintbench.
    pub(super) fn find(args: &GateArgs, kind: &Kind, stop: &Arc<Stop>) -> Result<Self, BuildError> {
        if let (Kind::Command(_), Some(base), Some(candidate)) = (kind, &args.base, &args.candidate)
        {
            let (base, candidate) =
                (executable(Side::Base, base)?, executable(Side::Candidate, candidate)?);
            return Ok(Self { base, candidate });
        }
        let Builds { base, candidate } = Builds::find(args, None, stop)?;
        let program = match base.source {
            Source::Program(program) => program,
            Source::Stored(_) => candidate.program.clone(),
        };
        Ok(Self { base: Candidate { name: base.name, program }, candidate })
    }
}

/// Returns the executable of any server.
fn executable(side: Side, path: &Path) -> Result<Candidate, BuildError> {
    let find = |source| BuildError::Find { side: side.as_str(), path: path.to_owned(), source };
    let program = path.canonicalize().map_err(find)?;
    Ok(Candidate { name: name(&path.display().to_string(), None, &program), program })
}

fn candidate(args: &GateArgs, stop: &Arc<Stop>) -> Result<Candidate, BuildError> {
    if let Some(revision) = &args.candidate_rev {
        let (commit, path) = revision::build(revision, stop)?;
        let program = program(Side::Candidate, &path, stop)?;
        return Ok(Candidate { name: name(revision, Some(commit), &program), program });
    }
    let Some(path) = &args.candidate else {
        let program = this_program();
        let commit = known(env!("MINTBENCH_BUILD_COMMIT"));
        return Ok(Candidate { name: name("this executable", commit, &program), program });
    };
    let program = program(Side::Candidate, path, stop)?;
    Ok(Candidate { name: name(&path.display().to_string(), None, &program), program })
}

fn given(path: &Path, stop: &Stop) -> Result<Base, BuildError> {
    let program = program(Side::Base, path, stop)?;
    let name = name(&path.display().to_string(), None, &program);
    Ok(Base { name, source: Source::Program(program) })
}

fn built(revision: &str, stop: &Arc<Stop>) -> Result<Base, BuildError> {
    let (commit, path) = revision::build(revision, stop)?;
    let program = program(Side::Base, &path, stop)?;
    Ok(Base { name: name(revision, Some(commit), &program), source: Source::Program(program) })
}

fn stored(args: &GateArgs, baseline: Baseline) -> Base {
    let folder = args.baseline.as_ref().map_or(String::new(), |path| path.display().to_string());
    let name =
        BuildName { name: printable::name(&folder), commit: known(&baseline.commit), sha256: None };
    Base { name, source: Source::Stored(Box::new(baseline.leg)) }
}

fn name(name: &str, commit: Option<String>, program: &Path) -> BuildName {
    BuildName { name: printable::name(name), commit, sha256: sha256(program) }
}

fn known(commit: &str) -> Option<String> {
    (commit != "unknown").then(|| commit.to_owned())
}

/// Returns the digest of an executable, which tells two builds apart. Without it, the report only says
/// less.
fn sha256(program: &Path) -> Option<String> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(program).ok()?);
    let mut context = digest::Context::new(&digest::SHA256);
    loop {
        let piece = file.fill_buf().ok()?;
        if piece.is_empty() {
            break;
        }
        context.update(piece);
        let length = piece.len();
        file.consume(length);
    }
    let digest = context.finish();
    Some(digest.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
}

/// Returns the executable at `path`, after checking that it calls itself mintbench.
fn program(side: Side, path: &Path, stop: &Stop) -> Result<PathBuf, BuildError> {
    let side = side.as_str();
    let found = path.canonicalize();
    let program =
        found.map_err(|source| BuildError::Find { side, path: path.to_owned(), source })?;
    let version::Answer { status, said } = version::ask(&program, stop)
        .map_err(|source| BuildError::Run { side, path: path.to_owned(), source })?;
    if status.success() && said.starts_with("mintbench ") {
        return Ok(program);
    }
    let first = said.lines().next().unwrap_or_default().chars().take(80).collect::<String>();
    let said =
        if status.success() { format!("said `{first}`") } else { format!("ended with {status}") };
    Err(BuildError::Foreign { side, path: path.to_owned(), said })
}
