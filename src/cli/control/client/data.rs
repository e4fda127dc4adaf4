//! The folder of `serve --data`, as its clients read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::ControlError;
use super::operator::Operator;
use crate::base::files;
use crate::base::files::{GroupRead, check_folder, read_secret};
use crate::base::tls::client_config;

/// Addresses of the server (`endpoints.json`): base URLs without a slash at the end.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Endpoints {
    /// The identity endpoint.
    pub(crate) imds: String,
    /// The token service.
    pub(crate) sts: String,
    /// The management API.
    pub(crate) arm: String,
    /// The vaults. Each has its own host name below `vault.localhost`.
    pub(crate) vault: String,
}

/// The data folder.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Trust in the group of its files.
    group: GroupRead,
}

/// Largest file that is read, in bytes. Its files have a few kB.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl DataFolder {
    /// Opens the folder at `path`, unless others can put their own files there.
    pub(crate) fn open(path: &Path, group: GroupRead) -> Result<Self, ControlError> {
        match check_folder(path, group) {
            // The error of the missing file tells the user what to do.
            Err(error) if !error.is_missing() => Err(error.into()),
            _ => Ok(Self { path: path.to_owned(), group }),
        }
    }

    /// Reads the addresses of the server.
    pub(crate) fn endpoints(&self) -> Result<Endpoints, ControlError> {
        let path = self.path.join("endpoints.json");
        let no_server = |path| ControlError::NoServer { path };
        let mut endpoints: Endpoints = parse(&path, &read(&path, no_server)?)?;
        let Endpoints { imds, sts, arm, vault } = &mut endpoints;
        for url in [imds, sts, arm, vault] {
            url.truncate(url.trim_end_matches('/').len());
        }
        Ok(endpoints)
    }

    /// Returns the configuration of a client that trusts this server and no other.
    pub(super) fn trust(&self) -> Result<Arc<ClientConfig>, ControlError> {
        let path = self.path.join("ca.pem");
        Ok(client_config(&read(&path, |path| ControlError::NoServer { path })?)?)
    }

    /// Reads the operator of the server, with the private key.
    pub(super) fn operator(&self) -> Result<Operator, ControlError> {
        let no_operator = |path| ControlError::NoOperator { path };
        let path = self.path.join("operator.json");
        let ids = parse(&path, &read(&path, no_operator)?)?;
        let path = self.path.join("operator.pem");
        let pem = read_secret(&path, FILE_BYTES_MAX, self.group).map_err(|error| {
            if error.is_missing() { no_operator(path.clone()) } else { error.into() }
        })?;
        Operator::from_pem(ids, &pem).map_err(|reason| ControlError::Malformed { path, reason })
    }
}

fn read(
    path: &Path,
    missing: impl FnOnce(PathBuf) -> ControlError,
) -> Result<Vec<u8>, ControlError> {
    files::read(path, FILE_BYTES_MAX)
        .map_err(|error| if error.is_missing() { missing(path.to_owned()) } else { error.into() })
}

fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(json).map_err(|error| ControlError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
