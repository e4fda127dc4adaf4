//! `mintbench env`: the variables with which SDKs and tools use a running server.

mod authorities;
mod shell;
mod variables;

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use self::authorities::authorities;
use self::shell::Shell;
pub(super) use self::variables::Environment;
use super::exit::{Exit, print_error};
use super::running::{Answer, FOUND_WITHIN, Running, RunningArgs, RunningError, limits};
use super::sources::variables::variable;
use super::terminal::{PrintError, print_as_is, say};

/// Longest wait for what the server does for one machine. The port of a listener may be stored on a slow disk.
const OPENED_WITHIN: Duration = Duration::from_secs(10);

/// URL that the SDKs of all languages ask without any variable.
const REAL_ADDRESS: &str = "http://169.254.169.254:80";

/// Print the variables with which SDKs and tools use a running server
///
/// The same variables are in the environment of a program that `mintbench exec` starts.
#[derive(Debug, Args)]
pub(super) struct EnvArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// Virtual machine that programs with these variables are, by name or resource id; it gets a port of its own [default: the machine with their address, usually 127.0.0.1]
    #[arg(long, value_name = "NAME|ID", value_parser = NonEmptyStringValueParser::new(), env = "MINTBENCH_ENV_VM")]
    vm: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "SHELL", default_value = "bash", env = "MINTBENCH_ENV_SHELL")]
    shell: Shell,
}

/// Reason why there is no environment.
#[derive(Debug, thiserror::Error)]
enum EnvError {
    #[error(transparent)]
    Running(#[from] RunningError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Runs the command.
pub(super) fn main(args: &EnvArgs) -> Exit {
    match print_environment(args) {
        Ok(()) => Exit::Pass,
        Err(error) => {
            print_error(&error);
            match error {
                EnvError::Running(_) => Exit::Failed,
                EnvError::Print(_) => Exit::Usage,
            }
        }
    }
}

fn print_environment(args: &EnvArgs) -> Result<(), EnvError> {
    let running = args.running.find(FOUND_WITHIN)?;
    let text = args.shell.render(&environment(&running, args.vm.as_deref())?);
    Ok(print_as_is(text.as_bytes())?)
}

/// Returns the environment of programs that are one virtual machine, and have the variables of this process. The
/// machine is the named one, or the one with the programs' address.
///
/// # Errors
/// Returns an error when the server opens no listener for the machine, or does not give its secret.
pub(super) fn environment(
    running: &Running,
    vm: Option<&str>,
) -> Result<Environment, RunningError> {
    let given = |name: &str| Some(variable(name)?.to_string_lossy().into_owned());
    let imds = identity_endpoint(running, vm)?;
    let header = identity_header(running, vm)?;
    if running.address("app-service").is_none() && imds != REAL_ADDRESS {
        say(
            "note: the Go and Rust SDKs find no identity here; start the server with --app-service 127.0.0.1:8174 for them",
        );
    }
    let trusted = authorities(&running.ca(), &given);
    Ok(Environment::of(running, &imds, header, trusted, &given))
}

/// Returns the URL of the identity endpoint: the common one, or the listener of one virtual machine.
fn identity_endpoint(running: &Running, vm: Option<&str>) -> Result<String, RunningError> {
    let Some(vm) = vm else { return Ok(running.url("imds").to_owned()) };
    let target = format!("/listeners?vm={}", utf8_percent_encode(vm, NON_ALPHANUMERIC));
    line(asked(running, &target)?)
}

/// Returns the secret by which programs are known as the machine at the App Service endpoint. Returns `None` if the
/// server has no such endpoint, or no machine calls from its address.
fn identity_header(running: &Running, vm: Option<&str>) -> Result<Option<String>, RunningError> {
    let Some(endpoint) = running.address("app-service") else { return Ok(None) };
    let machine = match vm {
        Some(vm) => format!("vm={}", utf8_percent_encode(vm, NON_ALPHANUMERIC)),
        None => format!("address={}", endpoint.ip()),
    };
    let answer = asked(running, &format!("/identity-header?{machine}"))?;
    if vm.is_none() && answer.response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    line(answer).map(Some)
}

fn asked(running: &Running, target: &str) -> Result<Answer, RunningError> {
    running.ask(&Method::POST, target, Bytes::new(), limits(OPENED_WITHIN))
}

/// Returns the line of a successful answer.
fn line(answer: Answer) -> Result<String, RunningError> {
    Ok(String::from_utf8_lossy(&answer.accepted()?).trim_end().to_owned())
}
