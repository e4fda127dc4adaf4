//! Failure of a session.

use super::changes::ChangesError;
use super::changes::outage::SourceError;
use super::serve_process::ServeError;
use crate::harness::dialect::fetch::FetchError;
use crate::harness::driver::load::LoadError;
use crate::harness::judge::verify::keys::KeysError;

/// The reason why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The broker's counters cannot be read.
    #[error("cannot read the broker's counters")]
    Counters(#[source] FetchError),
    /// The changes of the run cannot be made.
    #[error("cannot change anything during the run")]
    Changes(#[from] ChangesError),
    /// Our broker was running when the load began, and has ended.
    #[error("the broker ended during the run ({0}); its messages are above")]
    Died(String),
    /// There is no folder for the broker's world, or no free port.
    #[error(
        "cannot get a temporary folder or a free port; TMPDIR names another place for the folder"
    )]
    Prepare(#[source] std::io::Error),
    /// There are no keys to verify tokens with.
    #[error("cannot verify the answers")]
    Keys(#[source] KeysError),
    /// The load could not be run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no broker.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// There is no token service beside the broker.
    #[error(transparent)]
    Source(#[from] SourceError),
}
