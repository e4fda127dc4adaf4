//! Settings of a server.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::clock::{MovedClock, Seconds};
use crate::base::files::{Clients, GroupRead};
use crate::base::http::{ConnectionLimits, Reach};
use crate::base::secret::Redacted;
use crate::base::x509::Certificate;
use crate::service::arm::ArmAuth;
use crate::service::broker::BrokerOptions;
use crate::service::faults::FaultPlan;
use crate::service::imds::Imds;
use crate::service::sts::FederationOptions;
use crate::service::world::vault::VaultUriTemplate;

/// Readers of the requests of the identity endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// A reader of token requests in front of hyper.
    Both,
    /// hyper gets every request, also hits. For comparisons.
    HyperOnly,
}

impl Readers {
    /// Returns the endpoint with these readers.
    pub(super) fn of(self, imds: Imds) -> Imds {
        match self {
            Self::Both => imds,
            Self::HyperOnly => imds.with_hyper_only(),
        }
    }
}

/// Settings of a server. Port 0 selects a free port.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    /// Address of the identity endpoint.
    pub imds: SocketAddr,
    /// Address of the VM extension endpoint, if it is wanted.
    pub vm_extension: Option<SocketAddr>,
    /// Address of the App Service endpoint, if it is wanted.
    pub app_service: Option<SocketAddr>,
    /// Address of the token service, which issues tokens to clients with a credential and publishes keys.
    pub sts: SocketAddr,
    /// Address of the control plane.
    pub arm: SocketAddr,
    /// Authentication of the control plane's callers.
    pub arm_auth: ArmAuth,
    /// Address of the key vaults.
    pub vault: SocketAddr,
    /// URIs of the vaults; if `None`, each vault has a loopback address of its own.
    pub vault_uri: Option<VaultUriTemplate>,
    /// Greatest number of versions of a secret or key.
    pub max_secret_versions: NonZeroUsize,
    /// URL to which vaults and control plane send clients for tokens, without a final slash; if `None`, the
    /// token service itself.
    pub authority_url: Option<String>,
    /// Names of the endpoints that other machines may reach.
    pub exposed: Vec<&'static str>,
    /// Limits for the connections of all endpoints except the admin endpoint.
    pub connections: ConnectionLimits,
    /// Address of the admin endpoint.
    pub admin: SocketAddr,
    /// Clock of a server for tests, which the admin endpoint may move; `None` without test tools.
    pub test_tools: Option<Arc<MovedClock>>,
    /// Faults from the start on.
    pub faults: Option<FaultPlan>,
    /// True if a thread measures wake-up delays of the host.
    pub hiccups: bool,
    /// True if the token service and the control plane refuse plain HTTP.
    pub tls_only: bool,
    /// Names of the server certificate, besides this machine's own.
    pub host_names: Vec<String>,
    /// Readers of the requests of the identity endpoint.
    pub readers: Readers,
    /// Number of threads that read and answer requests of the identity endpoint.
    pub workers: NonZeroUsize,
    /// Folder for the operator's certificate, the secret of the admin endpoint and the list of endpoints, if
    /// any.
    pub data: Option<PathBuf>,
    /// Clients that find the server without such a folder.
    pub clients: Clients,
    /// Trust in the group of the files in it.
    pub group_read: GroupRead,
    /// Secret of the admin endpoint, if the folder has none: random text that is valid in a header.
    pub fresh_admin_secret: Redacted,
    /// Token service in another process that mints the tokens; if `None`, the directory's own issuer.
    pub token_source: Option<RemoteSource>,
    /// Lifetime of a token.
    pub token_lifetime: Seconds,
    /// Time for which a key signs tokens before the next one takes over; `None` for no limit.
    pub signing_key_rotation: Option<Seconds>,
    /// Lifetime of a token that the token service issues to an application.
    pub application_token_lifetime: Seconds,
    /// Longest remaining lifetime of an accepted client assertion; `None` for no limit.
    pub max_assertion_lifetime: Option<Seconds>,
    /// Authorities whose certificates authenticate managed identities at the token service.
    pub trusted_issuers: Vec<Certificate>,
    /// Settings for the keys of other issuers, whose tokens prove identities with federated credentials.
    pub federation: FederationOptions,
    /// Seed of the token service's ids, different in each process.
    pub sts_seed: [u8; 32],
    /// Seed of the request ids, different in each process.
    pub request_id_seed: u128,
    /// Settings of the broker.
    pub broker: BrokerOptions,
}

impl ServerOptions {
    /// Returns which machines may reach an endpoint.
    pub(super) fn reach(&self, surface: &str) -> Reach {
        if self.exposed.contains(&surface) { Reach::Network } else { Reach::Local }
    }
}

/// A token service in another process.
#[derive(Clone, Debug)]
pub(crate) struct RemoteSource {
    /// URL, without a path.
    pub url: String,
    /// Certificate authorities that the connection trusts (PEM); if `None`, this server's own.
    pub ca_pem: Option<Vec<u8>>,
}
