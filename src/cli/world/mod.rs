//! `mintbench world`: a whole world as a file.

mod diff;
mod error;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;

use self::error::WorldError;
use super::exit::{Exit, print_error};
use super::running::{FOUND_WITHIN, Running, RunningArgs, limits};
use super::terminal::{print, print_as_is, say};
use crate::base::client::ClientLimits;
use crate::base::files;
use crate::base::files::{CREDENTIAL_BYTES_MAX, WORLD_BYTES_MAX};
use crate::service::directory::Directory;
use crate::service::world::archive;
use crate::service::world::archive::{Archive, Secrets, by_key, chosen, world_of};

/// Longest wait for a whole world.
const WORLD_WITHIN: Duration = Duration::from_mins(5);

/// Largest world that is taken from a server, in bytes. A start takes no larger one.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Export, import, compare and check whole worlds
#[derive(Debug, Args)]
pub(super) struct WorldArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the world of a running server to a file
    Export(ExportArgs),
    /// Make a file the world of a running server
    ///
    /// Signing keys, certificates of identities and the operator stay those of the server. So do the secrets of
    /// vaults and applications, if the file was exported without secrets.
    Import(ImportArgs),
    /// Compare two worlds, item by item
    #[command(after_help = "Exit codes: 0 equal; 1 different; 2 not compared.")]
    Diff(DiffArgs),
    /// Check a file without a server
    #[command(after_help = "Exit codes: 0 valid; 1 not valid; 2 not checked.")]
    Validate(ValidateArgs),
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// Export secrets, too: the values and keys in vaults, and the digests of the secrets of applications
    #[arg(long)]
    with_secrets: bool,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ImportArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// World that `mintbench world export` wrote, or a world file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Remove and change what the server has and the file has not
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
struct DiffArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// First world: an export, or a world file
    #[arg(value_name = "FILE")]
    before: PathBuf,
    /// Second world [default: that of the running server]
    #[arg(value_name = "FILE")]
    after: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ValidateArgs {
    /// An export, or a world file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command.
pub(super) fn main(args: &WorldArgs) -> Exit {
    let done = match &args.action {
        Action::Export(args) => export(args),
        Action::Import(args) => import(args),
        Action::Diff(args) => compare(args),
        Action::Validate(args) => validate(args),
    };
    done.unwrap_or_else(|error| {
        print_error(&error);
        match args.action {
            // 1 says that the worlds differ.
            Action::Diff(_) => Exit::Usage,
            _ => error.exit(),
        }
    })
}

fn export(args: &ExportArgs) -> Result<Exit, WorldError> {
    let secrets = if args.with_secrets { Secrets::Kept } else { Secrets::LeftOut };
    let running = args.running.find(FOUND_WITHIN)?;
    let text = text_of(&running, secrets)?;
    match &args.out {
        None => print_as_is(&text)?,
        Some(path) => write(path, &text, secrets)
            .map_err(|source| WorldError::Write { path: path.clone(), source })?,
    }
    Ok(Exit::Pass)
}

fn write(path: &Path, text: &[u8], secrets: Secrets) -> std::io::Result<()> {
    match secrets {
        Secrets::Kept if !files::is_direct(path) => files::replace(path, 0o600, text),
        Secrets::Kept | Secrets::LeftOut => files::write(path, text),
    }
}

/// Returns the world of a server as it exports it.
fn text_of(running: &Running, secrets: Secrets) -> Result<Bytes, WorldError> {
    let query = if secrets == Secrets::Kept { "?secrets=true" } else { "" };
    let target = format!("/world{query}");
    Ok(running.ask(&Method::GET, &target, Bytes::new(), patient())?.accepted()?)
}

fn patient() -> ClientLimits {
    ClientLimits { response_bytes_max: ANSWER_BYTES_MAX, ..limits(WORLD_WITHIN) }
}

fn import(args: &ImportArgs) -> Result<Exit, WorldError> {
    let Archive { secrets, records } = read(&args.file)?;
    if secrets == Secrets::LeftOut {
        say(
            "note: the file was exported without secrets. Vaults and applications that the server has too keep theirs; others have none. --with-secrets exports them",
        );
    }
    let text = archive::render(records, secrets)?;
    let running = args.running.find(FOUND_WITHIN)?;
    let query = if args.replace { "?replace=true" } else { "" };
    let target = format!("/world{query}");
    let answer = running.ask(&Method::PUT, &target, text.into(), patient())?.accepted()?;
    print(&format!("imported: {}", String::from_utf8_lossy(&answer)))?;
    Ok(Exit::Pass)
}

/// Reads and checks a world.
fn read(path: &Path) -> Result<Archive, WorldError> {
    let text = files::read_text(path, WORLD_BYTES_MAX)?;
    let folder = path.parent().map_or_else(PathBuf::new, PathBuf::from);
    let beside = |name: &str| files::read_text(&folder.join(name), CREDENTIAL_BYTES_MAX);
    let archive = archive::read(&path.display().to_string(), &text, &beside)
        .map_err(|source| WorldError::Archive { path: path.to_owned(), source })?;
    Directory::verify(archive.records.clone())
        .map_err(|source| WorldError::Dangling { path: path.to_owned(), source })?;
    Ok(archive)
}

fn compare(args: &DiffArgs) -> Result<Exit, WorldError> {
    let before = read(&args.before)?;
    let after = if let Some(path) = &args.after {
        read(path)?
    } else {
        let running = args.running.find(FOUND_WITHIN)?;
        let text = text_of(&running, Secrets::Kept)?;
        archive::parse(&String::from_utf8_lossy(&text)).map_err(WorldError::Foreign)?
    };
    let both = [before.secrets, after.secrets];
    let secrets = if both == [Secrets::Kept; 2] { Secrets::Kept } else { Secrets::LeftOut };
    let [before, after] =
        [before, after].map(|archive| by_key(chosen(world_of(archive.records), secrets)));
    let lines = diff::lines(&before, &after)?;
    if lines.is_empty() {
        print("the worlds are equal\n")?;
        return Ok(Exit::Pass);
    }
    print(&(lines.join("\n") + "\n"))?;
    Ok(Exit::Failed)
}

fn validate(args: &ValidateArgs) -> Result<Exit, WorldError> {
    let records = read(&args.file)?.records.len();
    print(&format!("{} is a world: {records} records\n", args.file.display()))?;
    Ok(Exit::Pass)
}
