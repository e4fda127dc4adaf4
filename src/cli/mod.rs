//! The command line: one file per subcommand, one definition per setting.
//!
//! Each setting has three sources: a flag, an environment variable `MINTBENCH_<COMMAND>_<FLAG>`, and a
//! key of the same name in the command's section of the `--config` file. The first of these that is set
//! wins. All three come from the one clap definition of the flag, so `--help` cannot disagree with the
//! rest.

pub mod compare;
mod config;
pub mod control;
pub mod doctor;
mod explain;
pub mod gate;
pub mod merge;
mod outputs;
pub mod plan;
mod progress;
pub mod report;
pub mod run;
mod secret_files;
pub mod serve;
mod signals;
mod sources;
pub mod store;
mod terminal;

use std::ffi::OsString;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use self::explain::explain;
use self::sources::Sources;
use self::terminal::{Stream, say};

/// A managed-identity token broker, and the harness that measures it.
#[derive(Debug, Parser)]
#[command(
    name = "mintbench",
    version,
    about,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Every flag is also an environment variable (shown beside it) and a key of the same \
name in the section [<command>] of the --config file. A flag wins over the variable, the variable over the file."
)]
struct Cli {
    /// TOML file with one section per command, keys named like the flags
    #[arg(long, global = true, value_name = "FILE", env = "MINTBENCH_CONFIG")]
    config: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a script that completes commands and flags in a shell
    ///
    /// For bash: `mintbench completions bash > ~/.local/share/bash-completion/completions/mintbench`
    Completions {
        /// Which shell
        shell: Shell,
    },
    Compare(Box<compare::VersusArgs>),
    #[command(flatten)]
    Control(Box<control::Control>),
    Doctor(doctor::DoctorArgs),
    Gate(Box<gate::GateArgs>),
    Merge(merge::MergeArgs),
    Plan(Box<plan::PlanArgs>),
    Report(report::ReportArgs),
    Run(Box<run::RunArgs>),
    Serve(Box<serve::ServeArgs>),
    Store(store::StoreArgs),
}

/// The shells that completions are made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Exit code of the process. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded, or the verdict is a pass.
    Pass = 0,
    /// There is a measured regression or a failed check.
    Failed = 1,
    /// The command line, a file or the environment is wrong.
    Usage = 2,
    /// The evidence does not suffice for a verdict.
    Inconclusive = 3,
    /// The generator or the host was the bottleneck.
    Invalid = 4,
    /// A service-level objective was missed.
    SloBreached = 5,
    /// There is no baseline, or it cannot be repeated here.
    NoBaseline = 6,
    /// The command was stopped by Ctrl-C.
    Interrupted = 130,
}

/// Parses `args` (including the program's name), runs the command and returns the exit code.
///
/// Diagnostics go to standard error, results to standard output.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let sources = match Sources::read(command(), &args) {
        Ok(sources) => sources,
        Err(error) => return refuse(&error),
    };
    let matches = match sources.parse(&args) {
        Ok(matches) => matches,
        Err((error, origin)) => return explain(error, origin.as_ref(), &args),
    };
    let exit = run_command(&matches, &args);
    if exit == Exit::Usage {
        for (origin, flag) in sources.in_effect(&matches) {
            say(format_args!("note: {flag} is set by {origin}"));
        }
    }
    exit
}

fn run_command(matches: &ArgMatches, given: &[OsString]) -> Exit {
    match Cli::from_arg_matches(matches).map(|cli| cli.command) {
        Ok(Command::Completions { shell }) => completions(shell),
        Ok(Command::Compare(args)) => compare::main(&args),
        Ok(Command::Control(control)) => control::main(&control),
        Ok(Command::Doctor(args)) => doctor::main(&args),
        Ok(Command::Gate(args)) => gate::main(&args),
        Ok(Command::Merge(args)) => merge::main(&args),
        Ok(Command::Plan(args)) => plan::main(&args),
        Ok(Command::Report(args)) => report::main(&args),
        Ok(Command::Run(args)) => run::main(&args),
        Ok(Command::Serve(mut args)) => match matches.subcommand().map(|(_, own)| args.settle(own))
        {
            Some(Err(error)) => refuse(&error),
            _ => serve::main(&args),
        },
        Ok(Command::Store(args)) => store::main(&args),
        Err(error) => explain(error, None, given),
    }
}

/// Returns the definition of the command line.
///
/// Flags that several commands share are defined once. Each command has its own environment variables.
fn command() -> clap::Command {
    let own = |arg: clap::Arg| {
        let shared = arg.get_env().and_then(|name| name.to_str()?.strip_prefix("MINTBENCH_RUN_"));
        match shared.map(|name| format!("MINTBENCH_COMPARE_{name}")) {
            Some(name) => arg.env(name),
            None => arg,
        }
    };
    with_negative_numbers(Cli::command().mut_subcommand("compare", |compare| compare.mut_args(own)))
}

/// Lets every flag take a negative number, so that the flag's own range check refuses it. The parser
/// would take the number for a flag.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let takes_values =
        |arg: &clap::Arg| arg.get_long().is_some() && arg.get_action().takes_values();
    let allowed = |arg: clap::Arg| {
        let takes_values = takes_values(&arg);
        arg.allow_negative_numbers(takes_values)
    };
    command.mut_args(allowed).mut_subcommands(with_negative_numbers)
}

fn completions(shell: Shell) -> Exit {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    // Write to memory first, because the library panics if the reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "mintbench", &mut script);
    let _ = Stream::Output.write_as_is(&script);
    Exit::Pass
}

/// Prints an error with its causes, and returns the exit code.
pub(crate) fn refuse(error: &dyn std::error::Error) -> Exit {
    complain(error);
    Exit::Usage
}

/// Prints an error with its causes.
fn complain(error: &dyn std::error::Error) {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    say(format_args!("error: {}", said.join(": ")));
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[test]
    fn a_heading_of_the_help_is_over_its_own_flags_only() {
        let own = run::target::TargetArgs::augment_args(clap::Command::default());
        let ids: Vec<&clap::Id> = own.get_arguments().map(clap::Arg::get_id).collect();
        let command = command();
        for name in ["run", "compare"] {
            let sub = command.find_subcommand(name).unwrap();
            let headed = sub.get_arguments().filter(|arg| arg.get_help_heading() == Some("Target"));
            let headed: Vec<&clap::Id> = headed.map(clap::Arg::get_id).collect();
            assert_eq!(headed, ids, "{name}");
        }
    }
}
