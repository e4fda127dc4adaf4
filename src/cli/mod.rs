//! Command line: one module per subcommand, one definition per setting.
//!
//! Each setting of a server or a measurement has three sources: a flag, an environment variable
//! `MINTBENCH_<COMMAND>_<FLAG>`, and a key of the same name in the command's section of the `--config`
//! file. The first of these that is set wins. All three come from the one clap definition of the flag,
//! so `--help` cannot disagree with the rest. The client commands (`vm`, `secret`, ...) have variables
//! for the settings that they share, such as `MINTBENCH_DATA`.

mod compare;
mod control;
mod doctor;
mod environment;
mod exec;
mod exit;
mod explain;
mod gate;
mod merge;
mod output_files;
mod plan;
mod progress;
mod report;
mod run;
mod running;
mod secret_files;
mod serve;
mod signals;
mod sources;
mod store;
mod target;
mod terminal;
mod value_enums;
mod welcome;
mod world;

use std::ffi::OsString;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use self::exit::Exit;
use self::exit::{printed, refuse};
use self::explain::explain;
use self::sources::Sources;
use self::terminal::{print_as_is, say};

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
    after_help = "Where the help shows [env: NAME] beside a flag, the environment variable NAME sets it too, and so does \
a key of the flag's name in the section [<command>] of the --config file. A flag wins over the variable, the variable over the file."
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
        /// Shell to complete for
        shell: Shell,
    },
    Compare(Box<compare::CompareArgs>),
    #[command(flatten)]
    Control(Box<control::Control>),
    Doctor(doctor::DoctorArgs),
    Env(environment::EnvArgs),
    Exec(Box<exec::ExecArgs>),
    Gate(Box<gate::GateArgs>),
    Health(running::health::HealthArgs),
    Merge(merge::MergeArgs),
    Plan(Box<plan::PlanArgs>),
    Report(report::ReportArgs),
    Run(Box<run::RunArgs>),
    Serve(Box<serve::ServeArgs>),
    Store(store::StoreArgs),
    World(world::WorldArgs),
}

/// The shells that completions are made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Parses `args` (including the program's name), runs the command and returns the exit code.
///
/// Diagnostics go to standard error, results to standard output.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.len() < 2 {
        return welcome::main();
    }
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
        let settings = sources.in_effect(&matches);
        // The variables of a server for one program are those of its parent, which no user has set.
        if settings.iter().all(|(_, flag)| flag != "--end-with-stdin") {
            for (origin, flag) in settings {
                say(format_args!("note: {flag} is set by {origin}"));
            }
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
        Ok(Command::Env(args)) => environment::main(&args),
        Ok(Command::Exec(mut args)) => {
            match matches.subcommand().map(|(_, own)| args.settle(own)) {
                Some(Err(error)) => refuse(&error),
                _ => exec::main(&args),
            }
        }
        Ok(Command::Gate(args)) => gate::main(&args),
        Ok(Command::Health(args)) => running::health::main(&args),
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
        Ok(Command::World(args)) => world::main(&args),
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
    // Write to memory first, because the library panics if the output is lost.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "mintbench", &mut script);
    printed(print_as_is(&script))
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[test]
    fn a_heading_of_the_help_is_over_its_own_flags_only() {
        let own = target::TargetArgs::augment_args(clap::Command::default());
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
