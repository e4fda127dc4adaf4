//! `mintbench serve`: starts every endpoint and prints where each one listens.

use std::cmp::Ordering;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use rand::TryRng as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::{Exit, refuse, sources};
use crate::clock::{Clock, Seconds, SystemClock, UnixSeconds};
use crate::machine::{self, MachineError};
use crate::server::{
    self, Algorithm, ArmAuth, Authority, AuthorityIssuer, Backend, BrokerOptions, Certificate,
    CertificateError, CredentialOptions, Directory, DirectoryError, DirectoryOptions, MemoryStore,
    NewStore, RedbStore, RemoteSource, Server, ServerError, ServerOptions, SigningOptions, Store,
};
use crate::world::file;
use crate::world::record::Record;
use crate::world::seed::WorldError;
use crate::world::synthetic::Synthetic;
use crate::world::vault::VaultUriTemplate;

/// Serve managed identities on this machine.
///
/// Prints one line for each endpoint, its name and its URL, and then `ready`. Ends on Ctrl-C or
/// SIGTERM, once the requests in flight are answered.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address of the identity endpoint (IMDS); port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8169",
        env = "MINTBENCH_SERVE_IMDS"
    )]
    imds: SocketAddr,
    /// Address of the published keys and discovery documents
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8170",
        env = "MINTBENCH_SERVE_STS"
    )]
    sts: SocketAddr,
    /// Address of the control plane (Azure Resource Manager), http and https
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8172",
        env = "MINTBENCH_SERVE_ARM"
    )]
    arm: SocketAddr,
    /// Whether the control plane wants a token: bearer or off
    #[arg(long, value_name = "MODE", default_value = "bearer", value_parser = arm_auth, env = "MINTBENCH_SERVE_ARM_AUTH")]
    arm_auth: ArmAuth,
    /// Address of the key vaults, https only
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8173",
        env = "MINTBENCH_SERVE_VAULT"
    )]
    vault: SocketAddr,
    /// URI of a vault, `{name}` in place of its name [default: a loopback address of its own for each vault]
    #[arg(long, value_name = "URI", env = "MINTBENCH_SERVE_VAULT_URI")]
    vault_uri: Option<VaultUriTemplate>,
    /// Where vaults and `/metadata/endpoints` send clients for tokens, such as `https://login.microsoftonline.com` [default: the token service]
    #[arg(long, value_name = "URL", env = "MINTBENCH_SERVE_AUTHORITY_URL")]
    authority_url: Option<String>,
    /// Address of the deprecated endpoint of the VM extension, such as 127.0.0.1:50342 [default: none]
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_SERVE_VM_EXTENSION")]
    vm_extension: Option<SocketAddr>,
    /// Address of /healthz, /readyz and /metrics
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8171",
        env = "MINTBENCH_SERVE_ADMIN"
    )]
    admin: SocketAddr,
    /// Measure how late this host wakes a thread that only sleeps; /metrics shows it
    #[arg(long, env = "MINTBENCH_SERVE_HICCUPS")]
    hiccups: bool,
    /// Folder where the world is kept [default: it is kept in memory, and ends with the process]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_DATA")]
    data: Option<PathBuf>,
    /// A name by which clients call this server, beside addresses and localhost: every endpoint takes it as
    /// `Host`, and the server certificate is for it; may be repeated
    #[arg(
        long = "host-name",
        value_name = "NAME",
        env = "MINTBENCH_SERVE_HOST_NAME",
        value_delimiter = ','
    )]
    host_names: Vec<String>,
    /// Refuse plain HTTP at the token service and the control plane
    #[arg(long, env = "MINTBENCH_SERVE_TLS")]
    tls: bool,
    /// How long a key signs tokens before the next takes over, such as 30days; `never` keeps it
    #[arg(long, value_name = "TIME", default_value = "30days", value_parser = rotation, env = "MINTBENCH_SERVE_SIGNING_KEY_ROTATION")]
    signing_key_rotation: Rotation,
    /// How long the certificate of a managed identity is valid
    #[arg(long, value_name = "TIME", default_value = "90days", value_parser = lifetime, env = "MINTBENCH_SERVE_CREDENTIAL_LIFETIME")]
    credential_lifetime: Seconds,
    /// How old it gets until another one is made; both are valid meanwhile
    #[arg(long, value_name = "TIME", default_value = "45days", value_parser = lifetime, env = "MINTBENCH_SERVE_CREDENTIAL_ROLL_AFTER")]
    credential_roll_after: Seconds,
    /// Get tokens from the token service at this URL, with the certificate of each identity, instead of signing here
    #[arg(long, value_name = "URL", env = "MINTBENCH_SERVE_TOKEN_SOURCE")]
    token_source: Option<String>,
    /// Certificate authority of that token service (PEM) [default: this server's own]
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_TOKEN_SOURCE_CA")]
    token_source_ca: Option<PathBuf>,
    /// How long a token lives that an application gets from the token service
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime, env = "MINTBENCH_SERVE_APPLICATION_TOKEN_LIFETIME")]
    application_token_lifetime: Seconds,
    /// Certificate authority (PEM) whose certificates prove to the token service that a client is the one of their subject
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_TRUST_CREDENTIAL_ISSUER")]
    trust_credential_issuer: Option<PathBuf>,
    /// World file (TOML): tenants, subscriptions, identities, virtual machines [default: one VM with three identities]
    #[arg(long, value_name = "FILE", env = "MINTBENCH_SERVE_WORLD")]
    world: Option<PathBuf>,
    /// A world made up for load: vms=N[,user-assigned=K][,seed=S]; VM i calls from 127.1.0.1 + i
    #[arg(long, value_name = "SHAPE", env = "MINTBENCH_SERVE_SYNTHETIC")]
    synthetic: Option<Synthetic>,
    /// Signature algorithm of tokens: RS256, ES256 or `EdDSA`
    #[arg(long, value_name = "ALG", default_value = "RS256", env = "MINTBENCH_SERVE_ALG")]
    alg: Algorithm,
    /// Library that signs: aws-lc-rs or ring
    #[arg(
        long,
        value_name = "LIBRARY",
        default_value = "aws-lc-rs",
        env = "MINTBENCH_SERVE_SIGNER"
    )]
    signer: Backend,
    /// How long a token lives, such as 24h or 90s
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = lifetime, env = "MINTBENCH_SERVE_TOKEN_LIFETIME")]
    token_lifetime: Seconds,
    /// Part of its life after which a token in use is renewed in the background; 1 renews none
    #[arg(long, value_name = "FRACTION", default_value = "0.5", value_parser = fraction, env = "MINTBENCH_SERVE_REFRESH_AT")]
    refresh_at: f64,
    /// Tokens held at most, about 2 kB each
    #[arg(long, value_name = "N", default_value = "262144", env = "MINTBENCH_SERVE_CACHE_ENTRIES")]
    cache_entries: NonZeroUsize,
    /// Mints that may wait; the next is answered 503 with Retry-After
    #[arg(long, value_name = "N", default_value = "8192", env = "MINTBENCH_SERVE_MINT_QUEUE")]
    mint_queue: NonZeroUsize,
    /// Time that a change takes until the identity endpoint goes by it, as in the real cloud
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = delay, env = "MINTBENCH_SERVE_PROPAGATION_DELAY")]
    propagation_delay: Seconds,
    /// Threads that sign [default: one for each core]
    #[arg(long, value_name = "N", env = "MINTBENCH_SERVE_MINT_LANES")]
    mint_lanes: Option<NonZeroUsize>,
    /// Threads that answer requests [default: one for each core]
    #[arg(long, value_name = "N", env = "MINTBENCH_SERVE_WORKERS")]
    workers: Option<NonZeroUsize>,
    /// Cores to run on, such as 0,1 [default: all]
    #[arg(long, value_name = "LIST", env = "MINTBENCH_SERVE_CPUS")]
    cpus: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("the system gives no random numbers")]
    Entropy,
    #[error(
        "{LOG}={0} is not understood; write error, warn, info, debug, trace or off, or a list such as mintbench::http=debug,info"
    )]
    Log(String),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error("cannot read `{path}`", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the certificate authority `{path}` is refused", path = path.display())]
    TrustedIssuer { path: PathBuf, source: CertificateError },
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Synthetic(#[from] WorldError),
    #[error(transparent)]
    WorldFile(#[from] file::WorldFileError),
}

fn lifetime(text: &str) -> Result<Seconds, String> {
    let life = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let seconds = Seconds::from(life);
    let longest = Seconds(366 * 86_400);
    let fits = (Seconds(1)..=longest).contains(&seconds);
    fits.then_some(seconds).ok_or_else(|| "use 1s to 366days".to_owned())
}

fn arm_auth(text: &str) -> Result<ArmAuth, String> {
    match text {
        "bearer" => Ok(ArmAuth::Bearer),
        "off" => Ok(ArmAuth::Off),
        _ => Err("use bearer or off".to_owned()),
    }
}

/// How often keys are changed; `None` is never.
#[derive(Clone, Copy, Debug)]
struct Rotation(Option<Seconds>);

fn rotation(text: &str) -> Result<Rotation, String> {
    if text == "never" {
        return Ok(Rotation(None));
    }
    lifetime(text).map(|span| Rotation(Some(span)))
}

fn delay(text: &str) -> Result<Seconds, String> {
    humantime::parse_duration(text).map(Seconds::from).map_err(|error| error.to_string())
}

fn fraction(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "write a number such as 0.5".to_owned())?;
    (0.0..=1.0).contains(&number).then_some(number).ok_or_else(|| "use 0 to 1".to_owned())
}

impl ServeArgs {
    /// Keeps one of two settings that exclude each other: the nearer one, as everywhere (a flag
    /// before a variable, a variable before the file).
    ///
    /// # Errors
    /// When both are given in the same way.
    pub(super) fn settle(&mut self, matches: &ArgMatches) -> Result<(), SettingsConflict> {
        let distance = |id| match matches.value_source(id) {
            Some(ValueSource::CommandLine) => 0,
            Some(ValueSource::EnvVariable) => 1,
            Some(_) => 2,
            None => 3,
        };
        let (world, synthetic) = (distance("world"), distance("synthetic"));
        match world.cmp(&synthetic) {
            Ordering::Less => self.synthetic = None,
            Ordering::Greater => self.world = None,
            Ordering::Equal if world < 3 => return Err(SettingsConflict),
            Ordering::Equal => {}
        }
        Ok(())
    }
}

/// Two settings exclude each other.
#[derive(Debug, thiserror::Error)]
#[error("--world and --synthetic each name a world; give one of them")]
pub struct SettingsConflict;

/// Runs the command.
pub fn main(args: &ServeArgs) -> Exit {
    let logged = logged().map(|filter| {
        let colours = std::io::stderr().is_terminal();
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
        log.with_writer(std::io::stderr).init();
    });
    logged.and_then(|()| serve(args)).map_or_else(|error| refuse(&error), |()| Exit::Pass)
}

/// The variable that says what is logged.
const LOG: &str = "MINTBENCH_LOG";

/// What `MINTBENCH_LOG` asks for: a level, or a list such as `mintbench::http=debug,info`.
fn logged() -> Result<EnvFilter, ServeError> {
    let text = sources::variable(LOG).unwrap_or_else(|| "warn".into());
    let text = text.to_string_lossy();
    let refused = || ServeError::Log(text.clone().into_owned());
    // A word that is no level would be taken for the name of a module, of which there is none.
    let is_word = text.chars().all(|char| char.is_ascii_alphanumeric());
    if is_word && text.parse::<LevelFilter>().is_err() {
        return Err(refused());
    }
    EnvFilter::builder().parse(&text).map_err(|_| refused())
}

fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    if let Some(cpus) = &args.cpus {
        machine::pin_process(cpus)?;
    }
    machine::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ServeError::Signals)?;
    // Signals are caught before anything starts, so that none finds a half-started server.
    let stopped = runtime.block_on(async { stop_signal() }).map_err(ServeError::Signals)?;
    let (store, new) = store(args)?;
    // A start that fails leaves nothing behind.
    let undo = |new: NewStore| new.undo(&server::FILES);
    let server = start(args, store).inspect_err(|_| new.into_iter().for_each(undo))?;
    announce(&server);
    runtime.block_on(stopped);
    drop(server);
    Ok(())
}

fn start(args: &ServeArgs, store: Box<dyn Store>) -> Result<Server, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let authority = Arc::new(authority(args, clock.now())?);
    let directory = Arc::new(directory(args, store, &authority, clock.now())?);
    if args.arm_auth == ArmAuth::Off {
        tracing::warn!(
            "the control plane asks nobody who they are: every program on this machine may change identities and roles"
        );
    }
    Ok(Server::start(directory, &authority, &clock, &options(args)?)?)
}

/// The first to be opened: it refuses a folder that another process has.
fn store(args: &ServeArgs) -> Result<(Box<dyn Store>, Option<NewStore>), ServeError> {
    let Some(folder) = &args.data else { return Ok((Box::new(MemoryStore::default()), None)) };
    let store = RedbStore::open(folder).map_err(DirectoryError::from)?;
    let new = store.new_store();
    Ok((Box::new(store), new))
}

fn directory(
    args: &ServeArgs,
    store: Box<dyn Store>,
    authority: &Arc<Authority>,
    now: UnixSeconds,
) -> Result<Directory, ServeError> {
    let options = DirectoryOptions {
        propagation_delay: args.propagation_delay,
        seed: entropy()?,
        signing: SigningOptions {
            algorithm: args.alg,
            backend: args.signer,
            // Applications' tokens are signed with the same keys.
            token_lifetime: args.token_lifetime.max(args.application_token_lifetime),
        },
        credentials: CredentialOptions {
            lifetime: args.credential_lifetime,
            roll_after: args.credential_roll_after,
            issuer: Arc::new(AuthorityIssuer(Arc::clone(authority))),
        },
    };
    Directory::open(store, || seed(args), now, &options)
}

/// The certificate authority of the data folder, or one that ends with the process.
fn authority(args: &ServeArgs, now: UnixSeconds) -> Result<Authority, ServeError> {
    let authority = match &args.data {
        Some(folder) => Authority::open(folder, now),
        None => Authority::create(now),
    };
    Ok(authority.map_err(ServerError::from)?)
}

/// The token service in another process, if tokens come from one.
fn token_source(args: &ServeArgs) -> Result<Option<RemoteSource>, ServeError> {
    let Some(url) = &args.token_source else { return Ok(None) };
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| ServeError::Read { path: path.clone(), source })
    };
    let ca_pem = args.token_source_ca.as_ref().map(read).transpose()?;
    Ok(Some(RemoteSource { url: url.clone(), ca_pem }))
}

fn entropy<const N: usize>() -> Result<[u8; N], ServeError> {
    let mut bytes = [0; N];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|_| ServeError::Entropy)?;
    Ok(bytes)
}

fn seed(args: &ServeArgs) -> Result<Vec<Record>, ServeError> {
    match (&args.world, &args.synthetic) {
        (Some(path), _) => {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|source| ServeError::Read { path: path.clone(), source })?;
            let folder = path.parent().map_or_else(PathBuf::new, PathBuf::from);
            let beside = |name: &str| std::fs::read_to_string(folder.join(name));
            let records = file::parse_with(&path.display().to_string(), &text, &beside)?;
            warn_of_vms_without_address(&records);
            Ok(records)
        }
        (None, Some(shape)) => Ok(shape.build()?),
        (None, None) => Ok(file::demo()?),
    }
}

/// Names the first VM that no program can call as, and how many there are.
fn warn_of_vms_without_address(records: &[Record]) {
    let without = |record: &Record| match record {
        Record::VirtualMachine(vm) if vm.address.is_none() => Some(vm.id.name().to_owned()),
        _ => None,
    };
    let mut names = records.iter().filter_map(without);
    let Some(name) = names.next() else { return };
    tracing::warn!(
        %name,
        others = names.count(),
        "a VM of the world file has no address, so no program can call as it; write address = \"127.0.0.1\", or \"any\" for callers that no other VM has"
    );
}

fn trusted_issuers(args: &ServeArgs) -> Result<Vec<Certificate>, ServeError> {
    let Some(path) = &args.trust_credential_issuer else { return Ok(Vec::new()) };
    let read = std::fs::read_to_string(path);
    let text = read.map_err(|source| ServeError::Read { path: path.clone(), source })?;
    let refused = |source| ServeError::TrustedIssuer { path: path.clone(), source };
    Certificate::all_from_pem(&text).map_err(refused)
}

/// For each core, when tokens come from another process: so many calls are made at once.
const REMOTE_LANES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

fn options(args: &ServeArgs) -> Result<ServerOptions, ServeError> {
    let cores = NonZeroUsize::new(machine::allowed_cpus().len()).unwrap_or(NonZeroUsize::MIN);
    // Lanes that sign want a core each; lanes that ask somebody else mostly wait.
    let lanes =
        if args.token_source.is_some() { cores.saturating_mul(REMOTE_LANES) } else { cores };
    Ok(ServerOptions {
        imds: args.imds,
        vm_extension: args.vm_extension,
        arm: args.arm,
        arm_auth: args.arm_auth,
        vault: args.vault,
        vault_uri: args.vault_uri.clone(),
        authority_url: args.authority_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
        sts: args.sts,
        admin: args.admin,
        hiccups: args.hiccups,
        tls_only: args.tls,
        host_names: args.host_names.clone(),
        data: args.data.clone(),
        token_source: token_source(args)?,
        signing_key_rotation: args.signing_key_rotation.0,
        workers: args.workers.unwrap_or(cores),
        token_lifetime: args.token_lifetime,
        application_token_lifetime: args.application_token_lifetime,
        trusted_issuers: trusted_issuers(args)?,
        sts_seed: entropy()?,
        request_id_seed: u128::from_be_bytes(entropy()?),
        broker: BrokerOptions {
            cache_entries: args.cache_entries,
            mint_lanes: args.mint_lanes.unwrap_or(lanes),
            mint_queue: args.mint_queue,
            refresh_fraction: args.refresh_at,
            seed: entropy()?,
        },
    })
}

/// Resolves on Ctrl-C or SIGTERM.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Standard output is an interface: a reader waits for `ready`. A closed pipe ends nothing.
fn announce(server: &Server) {
    let mut stdout = std::io::stdout().lock();
    for (name, url) in server.endpoints() {
        let _ = writeln!(stdout, "{name} {url}");
    }
    let _ = writeln!(stdout, "ready");
    let _ = stdout.flush();
}
