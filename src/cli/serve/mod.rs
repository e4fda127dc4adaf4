//! `mintbench serve`: starts every endpoint and prints its address.

mod error;
mod expose;
mod flags;
mod hints;
mod log;
mod notify;
mod stop;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use rand::TryRng as _;

use self::error::ServeError;
use self::expose::{Reached, banner, exposed, listen};
use self::flags::IssuerKeys;
pub(super) use self::flags::ServeArgs;
use self::hints::to_paste;
use self::notify::Notifier;
use self::stop::{StopSignals, end_with_stdin};
use super::exit::{Exit, refuse};
use super::sources::variables::variable;
use super::terminal::{PrintError, Stream, print, say};
use crate::base::clock::{Clock, MovedClock, SystemClock, UnixSeconds};
use crate::base::files;
use crate::base::files::{CREDENTIAL_BYTES_MAX, SETTINGS_BYTES_MAX};
use crate::base::process;
use crate::base::secret::Redacted;
use crate::service::server;
use crate::service::server::{
    ArmAuth, Authority, AuthorityIssuer, BrokerOptions, Certificate, Clients, ConnectionOptions,
    CredentialOptions, Directory, DirectoryError, DirectoryOptions, FaultPlan, FederationOptions,
    FolderOptions, ForeignKeys, MemoryStore, NewStore, Readers, RedbStore, RemoteSource, Server,
    ServerError, ServerOptions, SigningOptions, Store,
};
use crate::service::world::record::Record;
use crate::service::world::{archive, file};

/// Runs the command.
pub(super) fn main(args: &ServeArgs) -> Exit {
    let log = match log::start() {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    let served = serve(args);
    // Before the last message, which does not go through the log.
    log.finish();
    served.map_or_else(|error| refuse(&error), |()| Exit::Pass)
}

fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    if let Some(cpus) = &args.cpus {
        process::pin_process(cpus)?;
    }
    let options = options(args)?;
    let notifier = Notifier::of(&|name: &str| variable(name), std::process::id());
    // Signals are caught before anything starts, so that a signal cannot interrupt a half-started server.
    let mut signals = StopSignals::catch().map_err(ServeError::Signals)?;
    if args.end_with_stdin {
        end_with_stdin().map_err(ServeError::Signals)?;
    }
    let (store, new) = store(args)?;
    if new.is_none() {
        say_what_is_ignored(args);
    }
    // A failed start leaves no files behind.
    let undo = |_: &ServeError| new.into_iter().for_each(NewStore::undo);
    let announced = |server| announce(&server, &options).map(|()| server).map_err(ServeError::from);
    let server = start(args, &options, store, &mut signals).and_then(announced);
    let server = server.inspect_err(undo)?;
    notifier.ready(url(&server, "imds"));
    signals.wait(notifier.watch(url(&server, "admin"), server.admin_secret()));
    notifier.stopping();
    drop(server);
    Ok(())
}

fn start(
    args: &ServeArgs,
    options: &ServerOptions,
    store: Box<dyn Store>,
    signals: &mut StopSignals,
) -> Result<Server, ServeError> {
    let clock: Arc<dyn Clock> = match &options.test_tools {
        Some(moved) => Arc::<MovedClock>::clone(moved),
        None => Arc::new(SystemClock),
    };
    let authority = Arc::new(authority(args, clock.machine_now())?);
    let seed = || seed(args, signals);
    let directory = Arc::new(directory(args, store, seed, &authority, clock.now())?);
    if args.arm_auth == ArmAuth::Off {
        tracing::warn!(
            "the control plane has no authentication (--arm-auth off): every program on this machine may change identities and roles"
        );
    }
    Ok(Server::start(directory, &authority, &clock, options)?)
}

/// Opens the store. It is opened first, because it refuses a folder that another process uses.
fn store(args: &ServeArgs) -> Result<(Box<dyn Store>, Option<NewStore>), ServeError> {
    let Some(folder) = &args.data else { return Ok((Box::new(MemoryStore::default()), None)) };
    let group = args.secret_files.group();
    let options = FolderOptions { other_files: &server::FILES, traces: &server::TRACES, group };
    let store = RedbStore::open(folder, options).map_err(DirectoryError::from)?;
    let new = store.new_store();
    Ok((Box::new(store), new))
}

fn directory(
    args: &ServeArgs,
    store: Box<dyn Store>,
    seed: impl FnOnce() -> Result<Vec<Record>, ServeError>,
    authority: &Arc<Authority>,
    now: UnixSeconds,
) -> Result<Directory, ServeError> {
    let options = DirectoryOptions {
        propagation_delay: args.propagation_delay,
        seed: entropy()?,
        signing: SigningOptions {
            algorithm: args.alg,
            // The same keys sign the tokens of applications.
            token_lifetime: args.token_lifetime.max(args.application_token_lifetime),
            min_distance: args.signing_key_min_distance,
        },
        credentials: CredentialOptions {
            lifetime: args.credential_lifetime,
            roll_after: args.credential_roll_after,
            issuer: Arc::new(AuthorityIssuer(Arc::clone(authority))),
        },
        throttle: args.throttle,
    };
    Directory::open(store, seed, now, &options)
}

/// Returns the certificate authority of the data folder, or a temporary one for this process.
fn authority(args: &ServeArgs, now: UnixSeconds) -> Result<Authority, ServeError> {
    let authority = match &args.data {
        Some(folder) => Authority::open(folder, now, args.secret_files.group()),
        None => Authority::create(now),
    };
    Ok(authority.map_err(ServerError::from)?)
}

/// Returns the settings of an external token service, if there is one.
fn token_source(args: &ServeArgs) -> Result<Option<RemoteSource>, ServeError> {
    let Some(url) = &args.token_source else { return Ok(None) };
    let read = |path: &PathBuf| files::read(path, CREDENTIAL_BYTES_MAX);
    let ca_pem = args.token_source_ca.as_ref().map(read).transpose()?;
    Ok(Some(RemoteSource { url: url.clone(), ca_pem }))
}

fn entropy<const N: usize>() -> Result<[u8; N], ServeError> {
    let mut bytes = [0; N];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|_| ServeError::Entropy)?;
    Ok(bytes)
}

/// Returns 256 random bits as text.
fn fresh_secret() -> Result<Redacted, ServeError> {
    let bytes = Redacted::new(entropy::<32>()?.to_vec());
    Ok(Redacted::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.expose()).into_bytes()))
}

fn seed(args: &ServeArgs, signals: &mut StopSignals) -> Result<Vec<Record>, ServeError> {
    let Some(path) = args.world.as_ref().or(args.seed_world.as_ref()) else {
        return Ok(match &args.synthetic {
            Some(shape) => shape.build()?,
            None => file::demo()?,
        });
    };
    let text = signals.read_world(path)?;
    let folder = path.parent().map_or_else(PathBuf::new, PathBuf::from);
    let beside = |name: &str| files::read_text(&folder.join(name), CREDENTIAL_BYTES_MAX);
    let name = path.display().to_string();
    let records = archive::read(&name, &text, &beside)?.records;
    warn_of_vms_without_address(&records);
    Ok(records)
}

/// Says that a folder with a world ignores the flag that names another one. `--seed-world` says so by its name.
fn say_what_is_ignored(args: &ServeArgs) {
    let Some(folder) = &args.data else { return };
    let folder = folder.display();
    if let Some(world) = &args.world {
        let world = world.display();
        say(format_args!(
            "note: `{folder}` has a world since its first start, so --world is ignored; `mintbench world import --replace {world} --data {folder}` takes it"
        ));
    } else if args.synthetic.is_some() {
        say(format_args!(
            "note: `{folder}` has a world since its first start, so --synthetic is ignored; name another folder"
        ));
    }
}

/// Logs the first VM without an address, and the number of such VMs. No program can call as such a VM.
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
    let text = files::read_text(path, CREDENTIAL_BYTES_MAX)?;
    let refused = |source| ServeError::TrustedIssuer { path: path.clone(), source };
    Certificate::all_from_pem(&text).map_err(refused)
}

/// Returns the settings for the keys of other issuers.
fn federation(args: &ServeArgs) -> Result<FederationOptions, ServeError> {
    let read = |path: &PathBuf| files::read(path, CREDENTIAL_BYTES_MAX);
    let key_set = |named: &IssuerKeys| -> Result<(String, ForeignKeys), ServeError> {
        let keys = ForeignKeys::parse(&read(&named.path)?);
        let keys = keys.ok_or_else(|| ServeError::IssuerKeys(named.path.clone()))?;
        Ok((named.issuer.clone(), keys))
    };
    Ok(FederationOptions {
        key_sets: args.issuer_keys.iter().map(key_set).collect::<Result<_, _>>()?,
        ca_pem: args.issuer_ca.as_ref().map(read).transpose()?,
        plain_http: args.issuer_http,
        key_hosts: args.issuer_keys_host.clone(),
    })
}

/// Returns the clock of a server for tests.
fn moved_clock(args: &ServeArgs) -> Result<Option<Arc<MovedClock>>, ServeError> {
    let ahead_s = args.tests.clock;
    if !args.tests.test_tools {
        return ahead_s.map_or(Ok(None), |_| Err(ServeError::Clock));
    }
    Ok(Some(Arc::new(MovedClock::new(ahead_s.unwrap_or(0)))))
}

/// Returns the faults of the start.
fn fault_plan(args: &ServeArgs) -> Result<Option<FaultPlan>, ServeError> {
    let Some(path) = &args.tests.faults else { return Ok(None) };
    let text = files::read_text(path, SETTINGS_BYTES_MAX)?;
    Ok(Some(FaultPlan::parse(&path.display().to_string(), &text)?))
}

/// Mint lanes for each core when tokens come from another process. It is the number of simultaneous calls.
const REMOTE_LANES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Ports of the endpoints without an address flag.
const IMDS_PORT: u16 = 8169;
const STS_PORT: u16 = 8170;
const ADMIN_PORT: u16 = 8171;
const ARM_PORT: u16 = 8172;
const VAULT_PORT: u16 = 8173;

fn options(args: &ServeArgs) -> Result<ServerOptions, ServeError> {
    let cores = NonZeroUsize::new(process::allowed_cpus().len()).unwrap_or(NonZeroUsize::MIN);
    // Lanes that sign need a core each. Lanes that call another process mostly wait.
    let is_remote = args.token_source.is_some();
    let lanes = if is_remote { cores.saturating_mul(REMOTE_LANES) } else { cores };
    let (lanes, workers) = (args.mint_lanes.unwrap_or(lanes), args.workers.unwrap_or(cores));
    let connections = ConnectionOptions {
        descriptors: usize::try_from(process::raise_file_limit()).unwrap_or(usize::MAX),
        workers,
        outgoing: if is_remote { lanes.get() } else { 0 },
        max: args.max_connections,
        per_caller: args.max_connections_per_caller,
        unsent_bytes: args.max_unsent_bytes.get(),
    };
    let exposed = exposed(&args.expose);
    let listen = |given, port, surface| listen(given, port, surface, &exposed);
    Ok(ServerOptions {
        imds: listen(args.imds, IMDS_PORT, "imds"),
        vm_extension: args.vm_extension,
        app_service: args.app_service,
        arm: listen(args.arm, ARM_PORT, "arm"),
        arm_auth: args.arm_auth,
        vault: listen(args.vault, VAULT_PORT, "vault"),
        vault_uri: args.vault_uri.clone(),
        max_secret_versions: args.max_secret_versions,
        authority_url: args.authority_url.clone(),
        sts: listen(args.sts, STS_PORT, "sts"),
        connections: connections.limits()?,
        admin: listen(args.admin, ADMIN_PORT, "admin"),
        exposed: exposed.clone(),
        hiccups: args.hiccups,
        test_tools: moved_clock(args)?,
        faults: fault_plan(args)?,
        tls_only: args.tls,
        host_names: args.host_names.clone(),
        readers: if args.hidden.hyper_only { Readers::HyperOnly } else { Readers::Both },
        data: args.data.clone(),
        clients: if args.end_with_stdin { Clients::Parent } else { Clients::OfUser },
        group_read: args.secret_files.group(),
        fresh_admin_secret: fresh_secret()?,
        token_source: token_source(args)?,
        signing_key_rotation: args.signing_key_rotation.0,
        workers,
        token_lifetime: args.token_lifetime,
        application_token_lifetime: args.application_token_lifetime,
        max_assertion_lifetime: args.max_assertion_lifetime,
        trusted_issuers: trusted_issuers(args)?,
        federation: federation(args)?,
        sts_seed: entropy()?,
        request_id_seed: u128::from_be_bytes(entropy()?),
        broker: BrokerOptions {
            cache_entries: args.cache_entries,
            mint_lanes: lanes,
            mint_queue: args.mint_queue,
            refresh_fraction: args.refresh_at,
            seed: entropy()?,
        },
    })
}

/// Prints the addresses. Standard output is an interface: readers wait for `ready`. A closed pipe does not
/// end the server. What people need besides goes to standard error, or to a terminal only.
fn announce(server: &Server, options: &ServerOptions) -> Result<(), PrintError> {
    let said = banner(&reached(server, options), &options.host_names);
    // The process that started a server for itself knows what it exposes.
    if options.clients == Clients::OfUser && !said.is_empty() {
        say(said);
    }
    let endpoints = server.endpoints().map(|(name, url)| format!("{name} {url}"));
    let secret = server.admin_secret_file().map(|file| format!("admin-secret {}", file.display()));
    let header = server
        .identity_header()
        .map(|secret| format!("app-service-header {}", String::from_utf8_lossy(secret.expose())));
    let lines = endpoints.chain(secret).chain(header).chain(["ready\n".to_owned()]);
    let lines: Vec<String> = lines.collect();
    let for_people = Stream::Output.is_terminal();
    let hints = for_people.then(|| to_paste(server.endpoints(), options.data.as_deref()));
    print(&(lines.join("\n") + &hints.unwrap_or_default()))
}

/// Returns the URL of an endpoint; empty if the server has no such endpoint.
fn url<'a>(server: &'a Server, name: &str) -> &'a str {
    server.endpoints().find(|(own, _)| *own == name).map_or("", |(_, url)| url)
}

/// Returns each endpoint with the address that it was asked to listen on.
fn reached<'a>(server: &'a Server, options: &ServerOptions) -> Vec<Reached<'a>> {
    let endpoints = server.endpoints().filter_map(|(surface, url)| {
        let addr = match surface {
            "admin" => options.admin,
            "app-service" => options.app_service?,
            "arm" => options.arm,
            "imds" => options.imds,
            "sts" => options.sts,
            "vault" => options.vault,
            _ => options.vm_extension?,
        };
        Some(Reached { surface, url, addr })
    });
    endpoints.collect()
}
