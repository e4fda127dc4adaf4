//! `POST /listeners?vm=NAME`: the own listener of a VM.

use std::fmt;

use hyper::{Response, StatusCode};

use crate::base::http::{BindError, Payload, pairs, text_reply};
use crate::service::directory::StoreError;

/// Reason why a VM gets no listener of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Several VMs have this name.
    #[error("{} virtual machines are called `{name}`: {}; write one of these ids", ids.len(), ids.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// Resource ids of the VMs.
        ids: Vec<String>,
    },
    /// The system gives no port.
    #[error("no port is free")]
    Bind(#[from] BindError),
    /// The port was not stored.
    #[error("cannot store the port of the listener")]
    Store(#[from] StoreError),
    /// The greatest number of listeners is open.
    #[error(
        "{0} virtual machines have listeners of their own, the greatest number; remove one of the machines"
    )]
    TooMany(usize),
    /// No VM has this name.
    #[error(
        "no virtual machine is called `{0}`; the names are those of the world file and of `mintbench vm list`"
    )]
    Unknown(String),
}

impl OpenError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Ambiguous { .. } => StatusCode::CONFLICT,
            Self::Bind(_) | Self::Store(_) | Self::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
        }
    }
}

/// Opener of listeners of single VMs.
pub(crate) trait OpenListener: Send + Sync + fmt::Debug {
    /// Opens the listener of the VM with this name or resource id, unless it is open, and returns its URL. The
    /// listener is part of the VM from now on.
    ///
    /// # Errors
    /// Returns an error when there is no such VM, no port, or no way to store the port.
    fn open(&self, vm: &str) -> Result<String, OpenError>;
}

/// Reads the name of the VM from the query.
pub(super) fn vm_named(query: Option<&str>) -> Option<String> {
    let mut pairs = pairs(query?);
    let (name, value) = pairs.next()?;
    let is_sole = pairs.next().is_none() && name.as_sent() == "vm";
    let value = value.decode_percent().ok().filter(|value| is_sole && !value.is_empty());
    value.map(std::borrow::Cow::into_owned)
}

/// Answers a request for the listener of `vm`.
pub(super) fn open(listeners: &dyn OpenListener, vm: &str) -> Response<Payload> {
    match listeners.open(vm) {
        Ok(url) => text_reply(StatusCode::OK, format!("{url}\n")),
        Err(error) => {
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
                error.source()
            });
            let said: Vec<String> = causes.map(ToString::to_string).collect();
            text_reply(error.status(), format!("{}\n", said.join(": ")))
        }
    }
}
