//! Errors of the commands, and their remedies.

use std::net::IpAddr;
use std::path::PathBuf;

use super::refusal::Refusal;
use crate::base::client::ClientError;
use crate::base::files::{ReadError, SecretFileError};
use crate::base::ids::SubscriptionId;
use crate::base::tls::TlsError;
use crate::cli::exit::Exit;
use crate::cli::terminal::PrintError;

/// Reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Several resources have this name.
    #[error("{} things are called `{name}`: {}", ids.len(), ids.join(", "))]
    Ambiguous { name: String, ids: Vec<String> },
    /// The answer of the server has an unexpected form.
    #[error("{url} answers with something that is not understood: {reason}")]
    Answer { url: String, reason: String },
    /// The given access token is not valid in a header.
    #[error("the access token is not one; take what `mintbench token --bare` prints")]
    AccessToken,
    /// The operator's key signs nothing.
    #[error("the key in `operator.pem` signs nothing; remove the file and start the server again")]
    Unsigned,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Entropy,
    /// Others can read the operator's key, or write in the folder.
    #[error(transparent)]
    Exposed(#[from] SecretFileError),
    /// The resource to create exists already.
    #[error("the {noun} `{name}` exists already")]
    Exists { noun: &'static str, name: String },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The result of the command is lost. What the command changed stays changed.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// A file of the server's folder, or a named file, is not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The options of the command leave nothing to do.
    #[error("nothing to do for `{name}`")]
    Idle { name: String, remedy: &'static str },
    /// A file of the server's folder is malformed.
    #[error("`{}` is not as a server writes it: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    /// There are several subscriptions, and none was named.
    #[error("there are {} subscriptions: {}", ids.len(), ids.join(", "))]
    ManySubscriptions { ids: Vec<String> },
    /// The request got no answer.
    #[error(transparent)]
    Network(#[from] ClientError),
    /// No resource group was named.
    #[error("a {noun} is made in a resource group, and none is named")]
    NoGroup { noun: &'static str },
    /// The folder has no operator key to sign in with.
    #[error("`{}` does not exist: nobody can sign in to the server", path.display())]
    NoOperator { path: PathBuf },
    /// No server has written its addresses to the folder.
    #[error("`{}` does not exist: no server has this folder", path.display())]
    NoServer { path: PathBuf },
    /// The operator may not see any subscription.
    #[error("the server shows no subscription")]
    NoSubscription,
    /// No resource has this name.
    #[error("no {noun} is called `{name}`{place}")]
    NotFound { noun: &'static str, name: String, place: &'static str, remedy: String },
    /// The server refused.
    #[error("{refusal}")]
    Refused { refusal: Box<Refusal>, remedy: Option<String> },
    /// This machine cannot call from the address of the virtual machine.
    #[error("no request can be sent from --vm-address {address} on this machine")]
    SourceAddress { address: IpAddr, source: std::io::Error },
    /// An operation of the server did not end in time.
    #[error("the server did not finish the operation in time; it may still do")]
    Unfinished,
    /// The server is not trusted, or the client has no trusted authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The runtime for requests could not be started.
    #[error("cannot start the network of this process")]
    Runtime(#[source] std::io::Error),
    /// An argument is malformed.
    #[error("{0}")]
    Usage(String),
}

impl ControlError {
    /// Returns the exit code: 2 when the command, its files or the environment are wrong, else 1.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::AccessToken
            | Self::Ambiguous { .. }
            | Self::Exposed(_)
            | Self::File { .. }
            | Self::Idle { .. }
            | Self::Malformed { .. }
            | Self::ManySubscriptions { .. }
            | Self::NoGroup { .. }
            | Self::NoOperator { .. }
            | Self::NoServer { .. }
            | Self::Print(_)
            | Self::Read(_)
            | Self::SourceAddress { .. }
            | Self::Tls(_)
            | Self::Usage(_) => Exit::Usage,
            Self::Answer { .. }
            | Self::Entropy
            | Self::Exists { .. }
            | Self::Network(_)
            | Self::NoSubscription
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Runtime(_)
            | Self::Unfinished
            | Self::Unsigned => Exit::Failed,
        }
    }

    /// Returns the remedy.
    pub(crate) fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Ambiguous { .. } => "give one of these ids instead of the name, or --group".to_owned(),
            Self::Exists { noun: "virtual machine", name } => format!(
                "change what it holds with `mintbench vm assign {name}`, or take it away with `mintbench vm remove {name}`"
            ),
            Self::Idle { remedy, .. } => (*remedy).to_owned(),
            Self::Malformed { .. } => {
                "start `mintbench serve --data` with this folder again, of the same version as this command".to_owned()
            }
            Self::ManySubscriptions { .. } => "name one with --subscription or MINTBENCH_SUBSCRIPTION".to_owned(),
            Self::Network(ClientError::Connect { .. }) => {
                "is `mintbench serve` running with this --data folder? start it, or name the folder of the one that runs with --data or MINTBENCH_DATA".to_owned()
            }
            Self::Network(ClientError::Tls { .. }) => {
                "another server than the one of this --data folder listens there; name its folder with --data or MINTBENCH_DATA".to_owned()
            }
            Self::NoGroup { .. } => {
                "name one with --group; `mintbench group list` shows them, `mintbench group create NAME` makes one".to_owned()
            }
            Self::NoOperator { .. } => {
                "the server has no data folder, or its file was removed; start it with one, as in `mintbench serve --data mintbench-data`".to_owned()
            }
            Self::NoServer { path } => format!(
                "start `mintbench serve --data {}`, which writes it, or name the folder of the server that runs with --data or MINTBENCH_DATA",
                path.parent().unwrap_or(path).display()
            ),
            Self::NoSubscription => {
                "serve a world with a [[subscriptions]] entry: `mintbench serve --world FILE`".to_owned()
            }
            Self::NotFound { remedy, .. } => remedy.clone(),
            Self::Refused { remedy, .. } => return remedy.clone(),
            Self::SourceAddress { .. } => {
                "`mintbench vm list` shows the addresses of the machines; Linux can call from every address of 127.0.0.0/8, and from those of its network interfaces".to_owned()
            }
            Self::Unfinished => "look with the `show` command".to_owned(),
            _ => return None,
        };
        Some(remedy)
    }

    /// Creates the error with the subscriptions to choose from.
    pub(crate) fn choice(ids: &[SubscriptionId]) -> Self {
        Self::ManySubscriptions { ids: ids.iter().map(ToString::to_string).collect() }
    }
}
