//! How a server is set up.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::arm::ArmAuth;
use crate::broker::BrokerOptions;
use crate::clock::Seconds;
use crate::files::GroupRead;
use crate::http::ConnectionLimits;
use crate::secret::Redacted;
use crate::world::vault::VaultUriTemplate;
use crate::x509::Certificate;

/// How a server is set up. Port 0 takes a free one.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where the identity endpoint listens.
    pub imds: SocketAddr,
    /// Where the endpoint of the VM extension listens, if it is wanted.
    pub vm_extension: Option<SocketAddr>,
    /// Where tokens are asked for by clients with a credential, and keys are published.
    pub sts: SocketAddr,
    /// Where the control plane listens.
    pub arm: SocketAddr,
    /// Whether its callers have to say who they are.
    pub arm_auth: ArmAuth,
    /// Where the key vaults listen.
    pub vault: SocketAddr,
    /// The URIs of the vaults; when not given, each vault has a loopback address of its own.
    pub vault_uri: Option<VaultUriTemplate>,
    /// Versions that a secret of a vault has at most.
    pub max_secret_versions: NonZeroUsize,
    /// Where vaults and control plane send clients for tokens, without a slash at the end; the token
    /// service itself when not given.
    pub authority_url: Option<String>,
    /// How many connections there may be, the admin endpoint's apart.
    pub connections: ConnectionLimits,
    /// Where operators look.
    pub admin: SocketAddr,
    /// Whether a thread measures how late the host wakes it.
    pub hiccups: bool,
    /// Whether the token service and the control plane refuse plain HTTP.
    pub tls_only: bool,
    /// Names, beside this machine's own, that the server certificate is for.
    pub host_names: Vec<String>,
    /// Threads that read and answer requests of the identity endpoint.
    pub workers: NonZeroUsize,
    /// Where the operator's certificate, the secret of the admin endpoint and the endpoints are written, if anywhere.
    pub data: Option<PathBuf>,
    /// Whether the group of the files there is trusted.
    pub group_read: GroupRead,
    /// The secret of the admin endpoint, unless the folder keeps one: random text that a header can hold.
    pub fresh_admin_secret: Redacted,
    /// Where tokens come from: a token service in another process, or the directory's own issuer.
    pub token_source: Option<RemoteSource>,
    /// How long a token lives.
    pub token_lifetime: Seconds,
    /// How long a key signs tokens before the next one takes over; `None` is for ever.
    pub signing_key_rotation: Option<Seconds>,
    /// How long a token lives that an application gets from the token service.
    pub application_token_lifetime: Seconds,
    /// How much longer a client's assertion may be valid when it is shown; `None` is any time.
    pub max_assertion_lifetime: Option<Seconds>,
    /// Authorities by whose certificates clients of the token service may prove who they are.
    pub trusted_issuers: Vec<Certificate>,
    /// Makes the ids of the token service differ from those of others.
    pub sts_seed: [u8; 32],
    /// Makes the request ids of this process differ from those of others.
    pub request_id_seed: u128,
    /// The broker's own options.
    pub broker: BrokerOptions,
}

/// A token service in another process.
#[derive(Clone, Debug)]
pub struct RemoteSource {
    /// Its URL, without a path.
    pub url: String,
    /// The certificate authorities that it is trusted by, PEM; none is this server's own.
    pub ca_pem: Option<Vec<u8>>,
}
