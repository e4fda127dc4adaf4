//! A network namespace in which 169.254.169.254 is the identity endpoint, as on a virtual machine of Azure.

use std::process::Command;

use super::error::ExecError;

/// Address of the identity endpoint in the namespace.
pub(super) const IMDS: &str = "169.254.169.254:80";

/// Commands of `ip` that set up the namespace. By the source address of the route, programs call the endpoint
/// as the machine at 127.0.0.1.
const SETUP: [&[&str]; 2] = [
    &["link", "set", "lo", "up"],
    &["route", "add", "local", "169.254.169.254/32", "dev", "lo", "src", "127.0.0.1"],
];

/// Moves this thread, and every program that it starts from now on, to a new network namespace. It ends with
/// its last program, and reaches no other network.
///
/// # Errors
/// Returns an error without the rights of root, or without `ip`.
pub(super) fn enter() -> Result<(), ExecError> {
    unshare()?;
    for args in SETUP {
        let output = Command::new("ip").args(args).output();
        let output =
            output.map_err(|source| ExecError::Program { program: "ip".to_owned(), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ExecError::Ip { command: args.join(" "), said });
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn unshare() -> Result<(), ExecError> {
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| ExecError::Namespace(error.into()))
}

#[cfg(not(target_os = "linux"))]
fn unshare() -> Result<(), ExecError> {
    Err(ExecError::Namespace(std::io::ErrorKind::Unsupported.into()))
}
