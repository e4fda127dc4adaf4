//! Requirements of a broker for the changes of a run: arguments, folder and address.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::harness::scenario::changes::{Changes, ROTATING_TOKEN_LIFETIME_SECONDS};

/// Requirements of a broker for the changes of a run.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Arguments of `serve`.
    pub(in crate::harness::session) args: Vec<String>,
    /// Folder for the broker's world.
    pub(in crate::harness::session) data: Option<TempDir>,
    /// Address and folder of the token service that the broker asks.
    pub(in crate::harness::session) source: Option<(SocketAddr, TempDir)>,
}

impl Needs {
    /// Returns the arguments, folder and address that the broker needs for the changes.
    ///
    /// # Errors
    /// Returns an error when no folder can be made, or when no port is free.
    pub(in crate::harness::session) fn of(changes: Changes) -> std::io::Result<Self> {
        match changes {
            Changes::None => Ok(Self::default()),
            Changes::Churn { .. } => {
                let folder = data_folder()?;
                let data = folder.path().display().to_string();
                // `serve` listens on loopback, and the run measures the change, not the
                // authentication of the caller.
                let args = ["--arm-auth", "off", "--data", &data].map(str::to_owned);
                Ok(Self { args: args.to_vec(), data: Some(folder), source: None })
            }
            Changes::Outage { .. } => {
                let (address, folder) = (free_address()?, data_folder()?);
                let args = ["--token-source".to_owned(), format!("http://{address}")];
                let source = Some((address, folder));
                Ok(Self { args: args.to_vec(), data: None, source })
            }
            Changes::Rotate { .. } => {
                // The broker asks its own token service over HTTP, so that certificates are used.
                let sts = free_address()?.to_string();
                let source = format!("http://{sts}");
                let lifetime = format!("{ROTATING_TOKEN_LIFETIME_SECONDS}s");
                let args = ["--sts", &sts, "--token-source", &source];
                let tokens = ["--token-lifetime", &lifetime, "--refresh-at", "0.5"];
                // Rotations may follow each other at any distance: the polled key sets show if an
                // unpublished key signed.
                let keys = ["--signing-key-min-distance", "0s"];
                let args = args.into_iter().chain(tokens).chain(keys).map(str::to_owned).collect();
                Ok(Self { args, data: None, source: None })
            }
        }
    }
}

/// Creates a folder that only its owner may read.
fn data_folder() -> std::io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("mintbench-run-").permissions(Permissions::from_mode(0o700)).tempdir()
}

/// Returns an address whose port was free just now. The broker must know it before anything listens
/// there.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
