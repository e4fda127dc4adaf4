//! Flags of `mintbench serve`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgMatches, Args};
use hyper::Uri;

use super::expose::Exposable;
use crate::base::client::Origin;
use crate::base::clock::{Seconds, offset};
use crate::base::synthetic::Synthetic;
use crate::cli::explain::TIME_ADVICE;
use crate::cli::secret_files::SecretFiles;
use crate::cli::sources::distance;
use crate::service::server::{Algorithm, ArmAuth, LIFETIME_MAX, PlainHttp};
use crate::service::world::Throttle;
use crate::service::world::federation::is_issuer;
use crate::service::world::vault::VaultUriTemplate;

/// Serve managed identities on this machine.
///
/// Prints one line for each endpoint, with its name and its URL. Then prints `admin-secret` with the file of the
/// admin endpoint's secret, and `ready`. With `--app-service`, prints `app-service-header` with the value of
/// `IDENTITY_HEADER` too. Ends on Ctrl-C, SIGTERM or SIGHUP, after the requests in flight are answered.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address of the identity endpoint (IMDS); port 0 takes a free one [default: 127.0.0.1:8169]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_IMDS")]
    pub(super) imds: Option<SocketAddr>,
    /// Address of the published keys and discovery documents [default: 127.0.0.1:8170]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_STS")]
    pub(super) sts: Option<SocketAddr>,
    /// Address of the control plane (Azure Resource Manager), http and https [default: 127.0.0.1:8172]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_ARM")]
    pub(super) arm: Option<SocketAddr>,
    /// Authentication of callers of the control plane: bearer or off
    #[arg(long, value_name = "MODE", default_value = "bearer", value_parser = arm_auth, env = "MINTBENCH_SERVE_ARM_AUTH")]
    pub(super) arm_auth: ArmAuth,
    /// Address of the key vaults, https only [default: 127.0.0.1:8173]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_VAULT")]
    pub(super) vault: Option<SocketAddr>,
    /// URI of a vault, `{name}` in place of its name [default: a loopback address of its own for each vault]
    #[arg(long, value_name = "URI", env = "MINTBENCH_SERVE_VAULT_URI")]
    pub(super) vault_uri: Option<VaultUriTemplate>,
    /// Maximum number of versions of a secret or key; a backup of one holds 500
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "500",
        env = "MINTBENCH_SERVE_MAX_SECRET_VERSIONS"
    )]
    pub(super) max_secret_versions: NonZeroUsize,
    /// URL at which vaults and `/metadata/endpoints` send clients for tokens, such as `https://login.microsoftonline.com` [default: the token service]
    #[arg(long, value_name = "URL", value_parser = authority_url, env = "MINTBENCH_SERVE_AUTHORITY_URL")]
    pub(super) authority_url: Option<String>,
    /// Address of the deprecated endpoint of the VM extension, such as 127.0.0.1:50342 [default: none]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_VM_EXTENSION")]
    pub(super) vm_extension: Option<SocketAddr>,
    /// Address of the endpoint of App Service and Functions, such as 127.0.0.1:8174 [default: none]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_APP_SERVICE")]
    pub(super) app_service: Option<SocketAddr>,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:8171]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_ADMIN")]
    pub(super) admin: Option<SocketAddr>,
    /// Let other machines reach these endpoints, or all; those without an address flag then listen on 0.0.0.0 in place of 127.0.0.1
    #[arg(
        long,
        value_name = "ENDPOINT,...",
        num_args = 0..=1,
        default_missing_value = "all",
        value_delimiter = ',',
        env = "MINTBENCH_SERVE_EXPOSE"
    )]
    pub(super) expose: Vec<Exposable>,
    /// Maximum number of connections of all endpoints except the admin endpoint [default: the file descriptors of the process, less those it needs]
    #[arg(long, value_name = "N", env = "MINTBENCH_SERVE_MAX_CONNECTIONS")]
    pub(super) max_connections: Option<NonZeroUsize>,
    /// Maximum number of connections of one IP address; the next one closes its longest idle connection [default: a quarter of --max-connections, at least 16]
    #[arg(long, value_name = "N", env = "MINTBENCH_SERVE_MAX_CONNECTIONS_PER_CALLER")]
    pub(super) max_connections_per_caller: Option<NonZeroUsize>,
    /// Limits of the requests of each virtual machine: azure, off, or numbers such as
    /// identity=20/s,concurrent=5,metadata=5/s; above them requests are answered 429
    #[arg(long, value_name = "LIMITS", default_value = "off", env = "MINTBENCH_SERVE_THROTTLE")]
    pub(super) throttle: Throttle,
    /// Maximum bytes of unread answers of an endpoint, a quarter of them for one caller; above it requests are answered 429
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "67108864",
        env = "MINTBENCH_SERVE_MAX_UNSENT_BYTES"
    )]
    pub(super) max_unsent_bytes: NonZeroUsize,
    /// Measure the wake-up delays of this host, and show them in /metrics
    #[arg(long, env = "MINTBENCH_SERVE_HICCUPS")]
    pub(super) hiccups: bool,
    /// End when standard input ends, for tests and programs that start this server; other commands find it by its folder only
    #[arg(long, env = "MINTBENCH_SERVE_END_WITH_STDIN")]
    pub(super) end_with_stdin: bool,
    #[command(flatten)]
    pub(super) hidden: HiddenFlags,
    /// Folder of the stored world [default: none: the world is in memory and ends with the process]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_DATA")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) secret_files: SecretFiles,
    #[command(flatten)]
    pub(super) tests: TestFlags,
    /// Further host name of this server, besides addresses and localhost, for the `Host` header and the
    /// server certificate; may be repeated
    #[arg(
        long = "host-name",
        value_name = "NAME",
        env = "MINTBENCH_SERVE_HOST_NAME",
        value_delimiter = ','
    )]
    pub(super) host_names: Vec<String>,
    /// Refuse plain HTTP at the token service and the control plane
    #[arg(long, env = "MINTBENCH_SERVE_TLS")]
    pub(super) tls: bool,
    /// Time between key rotations, such as 30days; `never` keeps the first key
    #[arg(long, value_name = "TIME", default_value = "30days", value_parser = rotation, env = "MINTBENCH_SERVE_SIGNING_KEY_ROTATION")]
    pub(super) signing_key_rotation: Rotation,
    /// Time from the publication of a key to its first signature, unless the key before it is revoked
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = delay, env = "MINTBENCH_SERVE_SIGNING_KEY_MIN_DISTANCE")]
    pub(super) signing_key_min_distance: Seconds,
    /// Lifetime of the certificate of a managed identity
    #[arg(long, value_name = "TIME", default_value = "90days", value_parser = lifetime, env = "MINTBENCH_SERVE_CREDENTIAL_LIFETIME")]
    pub(super) credential_lifetime: Seconds,
    /// Age of such a certificate at which the next one is made; both are then valid
    #[arg(long, value_name = "TIME", default_value = "45days", value_parser = lifetime, env = "MINTBENCH_SERVE_CREDENTIAL_ROLL_AFTER")]
    pub(super) credential_roll_after: Seconds,
    /// Token service that signs instead of this server; each identity proves itself with its certificate
    #[arg(long, value_name = "URL", env = "MINTBENCH_SERVE_TOKEN_SOURCE")]
    pub(super) token_source: Option<String>,
    /// Certificate authority of that token service (PEM) [default: this server's own]
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_TOKEN_SOURCE_CA")]
    pub(super) token_source_ca: Option<PathBuf>,
    /// Lifetime of a token that an application gets from the token service
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime, env = "MINTBENCH_SERVE_APPLICATION_TOKEN_LIFETIME")]
    pub(super) application_token_lifetime: Seconds,
    /// Maximum remaining validity of a client assertion, such as 10m [default: any, as in Azure]
    #[arg(long, value_name = "TIME", value_parser = lifetime, env = "MINTBENCH_SERVE_MAX_ASSERTION_LIFETIME")]
    pub(super) max_assertion_lifetime: Option<Seconds>,
    /// Certificate authority (PEM) that the token service trusts for client certificates; their subject names the client
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_TRUST_CREDENTIAL_ISSUER")]
    pub(super) trust_credential_issuer: Option<PathBuf>,
    /// Keys (JWKS) of an issuer of federated credentials, such as `https://issuer=keys.json`; may be repeated
    /// [default: the issuer is asked]
    #[arg(
        long,
        value_name = "ISSUER=FILE",
        value_parser = issuer_keys,
        env = "MINTBENCH_SERVE_ISSUER_KEYS",
        value_delimiter = ','
    )]
    pub(super) issuer_keys: Vec<IssuerKeys>,
    /// Host that holds keys of issuers at other hosts, such as www.googleapis.com for accounts.google.com; may be
    /// repeated [default: the host of the issuer alone]
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        value_parser = key_host,
        env = "MINTBENCH_SERVE_ISSUER_KEYS_HOST",
        value_delimiter = ','
    )]
    pub(super) issuer_keys_host: Vec<Origin>,
    /// Certificate authority (PEM) of issuers that are asked for their keys [default: those of this machine]
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_ISSUER_CA")]
    pub(super) issuer_ca: Option<PathBuf>,
    /// Issuers that are asked for their keys over plain HTTP: loopback or any
    #[arg(long, value_name = "WHICH", default_value = "loopback", value_parser = plain_http, env = "MINTBENCH_SERVE_ISSUER_HTTP")]
    pub(super) issuer_http: PlainHttp,
    /// World file (TOML), or a world that `mintbench world export` wrote: tenants, subscriptions, identities, virtual machines [default: one VM with three identities]
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_WORLD")]
    pub(super) world: Option<PathBuf>,
    /// As --world; later starts do not say that they ignore it
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_SEED_WORLD")]
    pub(super) seed_world: Option<PathBuf>,
    /// Synthetic world for load tests: vms=N[,user-assigned=K][,seed=S]; VM i calls from 127.1.0.1 + i
    #[arg(long, value_name = "SHAPE", env = "MINTBENCH_SERVE_SYNTHETIC")]
    pub(super) synthetic: Option<Synthetic>,
    /// Signature algorithm of tokens: RS256, ES256 or `EdDSA`
    #[arg(long, value_name = "ALG", default_value = "RS256", env = "MINTBENCH_SERVE_ALG")]
    pub(super) alg: Algorithm,
    /// Lifetime of a token, such as 24h or 90s
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = lifetime, env = "MINTBENCH_SERVE_TOKEN_LIFETIME")]
    pub(super) token_lifetime: Seconds,
    /// Part of the lifetime after which a token in use is renewed in the background; 1 renews none
    #[arg(long, value_name = "FRACTION", default_value = "0.5", value_parser = fraction, env = "MINTBENCH_SERVE_REFRESH_AT")]
    pub(super) refresh_at: f64,
    /// Maximum number of cached tokens, about 2 kB each
    #[arg(long, value_name = "N", default_value = "262144", env = "MINTBENCH_SERVE_CACHE_ENTRIES")]
    pub(super) cache_entries: NonZeroUsize,
    /// Maximum number of waiting mints; the next is answered 503 with Retry-After
    #[arg(long, value_name = "N", default_value = "8192", env = "MINTBENCH_SERVE_MINT_QUEUE")]
    pub(super) mint_queue: NonZeroUsize,
    /// Delay until a change affects the identity endpoint, as in the real cloud
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = delay, env = "MINTBENCH_SERVE_PROPAGATION_DELAY")]
    pub(super) propagation_delay: Seconds,
    /// Threads that sign [default: one for each core]
    #[arg(long, value_name = "N", env = "MINTBENCH_SERVE_MINT_LANES")]
    pub(super) mint_lanes: Option<NonZeroUsize>,
    /// Threads that answer requests [default: one for each core]
    #[arg(long, value_name = "N", env = "MINTBENCH_SERVE_WORKERS")]
    pub(super) workers: Option<NonZeroUsize>,
    /// Cores to run on, such as 0,1 [default: all]
    #[arg(long, value_name = "LIST", env = "MINTBENCH_SERVE_CPUS")]
    pub(super) cpus: Option<String>,
}

/// Flags for tests of this program.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct HiddenFlags {
    /// Answer every request through hyper, for comparisons with the reader of token requests in front of it
    #[arg(long, hide = true, env = "MINTBENCH_SERVE_HYPER_ONLY")]
    pub(super) hyper_only: bool,
}

fn lifetime(text: &str) -> Result<Seconds, String> {
    let life = humantime::parse_duration(text).map_err(|_| TIME_ADVICE.to_owned())?;
    let seconds = Seconds::from(life);
    let fits = (Seconds(1)..=LIFETIME_MAX).contains(&seconds);
    fits.then_some(seconds).ok_or_else(|| "use 1s to 366days".to_owned())
}

fn arm_auth(text: &str) -> Result<ArmAuth, String> {
    match text {
        "bearer" => Ok(ArmAuth::Bearer),
        "off" => Ok(ArmAuth::Off),
        _ => Err("use bearer or off".to_owned()),
    }
}

/// Parses a URL whose path clients extend. It has no slash at the end, no query and no credentials.
fn authority_url(text: &str) -> Result<String, String> {
    let url: Option<Uri> = text.parse().ok();
    let fits = |url: Uri| {
        let is_http = matches!(url.scheme_str(), Some("https" | "http"));
        let is_plain = url.authority().is_some_and(|own| !own.as_str().contains('@'));
        is_http && is_plain && url.query().is_none()
    };
    if url.is_some_and(fits) {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err("write https:// and a host, such as https://login.microsoftonline.com".to_owned())
}

/// An issuer, and the file with its keys.
#[derive(Clone, Debug)]
pub(super) struct IssuerKeys {
    pub(super) issuer: String,
    pub(super) path: PathBuf,
}

fn issuer_keys(text: &str) -> Result<IssuerKeys, String> {
    let advice = || "write ISSUER=FILE, as in https://issuer.example=keys.json".to_owned();
    let (issuer, path) = text.split_once('=').ok_or_else(advice)?;
    if !is_issuer(issuer) || path.is_empty() {
        return Err(advice());
    }
    Ok(IssuerKeys { issuer: issuer.to_owned(), path: path.into() })
}

fn key_host(text: &str) -> Result<Origin, String> {
    let advice = || "write a host, as in www.googleapis.com or keys.example:8443".to_owned();
    let uri = format!("https://{text}").parse().map_err(|_| advice())?;
    Origin::of(&uri).filter(|host| host.authority() == text.to_ascii_lowercase()).ok_or_else(advice)
}

fn plain_http(text: &str) -> Result<PlainHttp, String> {
    match text {
        "any" => Ok(PlainHttp::Any),
        "loopback" => Ok(PlainHttp::Loopback),
        _ => Err("use loopback or any".to_owned()),
    }
}

/// Interval of key rotation. `None` means never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation(pub(super) Option<Seconds>);

fn rotation(text: &str) -> Result<Rotation, String> {
    if text == "never" {
        return Ok(Rotation(None));
    }
    lifetime(text).map(|span| Rotation(Some(span)))
}

fn delay(text: &str) -> Result<Seconds, String> {
    humantime::parse_duration(text).map(Seconds::from).map_err(|_| TIME_ADVICE.to_owned())
}

fn fraction(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "write a number such as 0.5".to_owned())?;
    (0.0..=1.0).contains(&number).then_some(number).ok_or_else(|| "use 0 to 1".to_owned())
}

impl ServeArgs {
    /// Keeps one of the flags that name a world: the one from the source with the higher priority. A flag wins
    /// over an environment variable, and a variable wins over the file.
    ///
    /// # Errors
    /// Returns an error when two come from the same source.
    pub(crate) fn settle(&mut self, matches: &ArgMatches) -> Result<(), SettingsConflict> {
        const UNSET: u8 = 3;
        let flags = ["world", "seed_world", "synthetic"];
        let distances = flags.map(|id| distance(matches, id).unwrap_or(UNSET));
        let nearest = distances.into_iter().min().unwrap_or(UNSET);
        let near = flags.into_iter().zip(distances).filter(|(_, one)| *one == nearest);
        let near: Vec<String> = near.map(|(id, _)| format!("--{}", id.replace('_', "-"))).collect();
        if nearest < UNSET && near.len() > 1 {
            return Err(SettingsConflict(near));
        }
        let [world, seed_world, synthetic] = distances.map(|one| one == nearest);
        self.world = self.world.take().filter(|_| world);
        self.seed_world = self.seed_world.take().filter(|_| seed_world);
        self.synthetic = self.synthetic.take().filter(|_| synthetic);
        Ok(())
    }
}

/// Flags for what only a test may do.
#[derive(Clone, Debug, Args)]
pub(super) struct TestFlags {
    /// Let the admin endpoint put the world back to its state at this start, move the clock, and break tokens
    #[arg(long, env = "MINTBENCH_SERVE_TEST_TOOLS")]
    pub(super) test_tools: bool,
    /// Distance of the server's clock from that of the machine, such as +3h; needs --test-tools
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, value_parser = offset, env = "MINTBENCH_SERVE_CLOCK")]
    pub(super) clock: Option<i64>,
    /// Faults to inject on purpose (TOML or JSON), until `/faults` of the admin endpoint replaces them
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_FAULTS")]
    pub(super) faults: Option<PathBuf>,
}

/// Error of settings that exclude each other.
#[derive(Debug, thiserror::Error)]
#[error("{} each name a world; give one of them", .0.join(" and "))]
pub(crate) struct SettingsConflict(Vec<String>);
