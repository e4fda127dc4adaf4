//! Server assembly: sockets, worker threads, shutdown. Only this module knows every surface.

mod addresses;
mod admin_secret;
mod bound;
mod checkup;
mod connection_limits;
mod error;
mod maintenance;
mod operator;
mod options;
mod sockets;
mod trim;
mod vaults;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::base::clock::{Clock, Seconds};
use crate::base::http;
use crate::base::http::{ConnectionLimiter, HostNames, Responses, Shutdown, Surface, Transport};
use crate::base::process::{exact_timers, lower_priority};
use crate::base::tls;
use crate::base::tls::{ServerTls, client_config};
use crate::service::admin::hiccups::Probe;
use crate::service::admin::{Admin, MetricSources};
use crate::service::arm;
use crate::service::arm::{Arm, ArmOptions};
use crate::service::broker::Broker;
use crate::service::imds::{Extension, Imds};
use crate::service::source::Remote;
use crate::service::sts::Sts;
use crate::service::token::{CertificateIssuer, CertificateRequest, Issuer, KeyError, TokenSource};

use addresses::{names, service_addresses};
use admin_secret::AdminSecret;
use bound::{Bound, Priority};
pub(crate) use checkup::check_store;
use connection_limits::Limiters;
pub(crate) use connection_limits::{ConnectionOptions, TooManyConnections};
pub(crate) use error::ServerError;
use maintenance::{Maintenance, MaintenanceOptions};
pub(crate) use options::{RemoteSource, ServerOptions};
use sockets::Sockets;
use trim::Trimmer;

use crate::service::vault;
use crate::service::vault::{Vault, VaultOptions};

// Settings types, exported so that code that starts a server needs no module below this one.
pub(crate) use crate::base::tls::Authority;
pub(crate) use crate::service::arm::ArmAuth;
pub(crate) use crate::service::broker::BrokerOptions;
pub(crate) use crate::service::directory::{
    CredentialOptions, Directory, DirectoryError, DirectoryOptions, SigningOptions,
};
pub(crate) use crate::service::store::{
    FolderOptions, MemoryStore, NewStore, RedbStore, Store, StoreError,
};
pub(crate) use crate::service::sts::StsOptions;
pub(crate) use crate::service::token::Algorithm;

/// Longest token lifetime that can be set.
pub(crate) const LIFETIME_MAX: Seconds = Issuer::LIFETIME_MAX;

/// Files in the data folder besides the store.
pub(crate) const FILES: [&str; 6] = [
    tls::FILES[0],
    tls::FILES[1],
    operator::PEM,
    operator::WHO,
    operator::ENDPOINTS,
    admin_secret::FILE,
];

/// Those of them that only a start writes. A user may put the authority and the secret of the admin endpoint
/// into a new folder.
pub(crate) const TRACES: [&str; 3] = [operator::PEM, operator::WHO, operator::ENDPOINTS];

pub(crate) use crate::base::x509::{Certificate, CertificateError};

/// Time for requests in flight to finish once the server is told to stop. The longest wait of a request, in a
/// full mint queue, is about as long.
const GRACE: Duration = Duration::from_secs(10);

/// A running server; stops when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    endpoints: Vec<(&'static str, String)>,
    stop: watch::Sender<bool>,
    limiters: Limiters,
    threads: Vec<JoinHandle<()>>,
    maintenance: Option<Maintenance>,
    /// Stops with the server.
    _trimmer: Trimmer,
    probe: Option<Probe>,
    admin_secret: AdminSecret,
}

/// Items on one page of a list, as in Azure.
const PAGE: usize = 200;

/// Common parts of the surfaces.
struct Surfaces<'a> {
    directory: Arc<Directory>,
    broker: Arc<Broker>,
    clock: &'a Arc<dyn Clock>,
    options: &'a ServerOptions,
    tls: Arc<ServerTls>,
}

impl Server {
    /// Binds every surface and starts the server. It answers requests when this returns.
    ///
    /// # Errors
    /// Returns an error when an address is refused or the system lacks a resource. Then nothing keeps
    /// running.
    pub(crate) fn start(
        directory: Arc<Directory>,
        authority: &Arc<Authority>,
        clock: &Arc<dyn Clock>,
        options: &ServerOptions,
    ) -> Result<Self, ServerError> {
        let sockets = Sockets::bind(options)?;
        let names = names(options, &sockets);
        let tls = ServerTls::new(Arc::clone(authority), Arc::clone(clock), names);
        // Checks the names now: a name that no certificate can have would otherwise fail at the first
        // handshake.
        tls.config(options.sts.ip())?;
        let issuer = Arc::new(Issuer::new(directory.ring(), options.token_lifetime));
        let source = token_source(&directory, &issuer, authority, options)?;
        let broker =
            Broker::start(Arc::clone(&directory), source, Arc::clone(clock), &options.broker)?;
        let admin_secret = match &options.data {
            Some(folder) => {
                AdminSecret::kept(folder, &options.fresh_admin_secret, options.group_read)?
            }
            None => AdminSecret::passing(options.fresh_admin_secret.clone()),
        };
        let limiters = Limiters::new(options.connections);
        let mut server = Self {
            admin_secret,
            endpoints: vec![("imds", sockets.imds_url.clone())],
            stop: watch::channel(false).0,
            threads: Vec::new(),
            maintenance: None,
            _trimmer: Trimmer::start(limiters.all())?,
            limiters,
            probe: if options.hiccups { Some(Probe::start(exact_timers)?) } else { None },
        };
        let surfaces =
            Surfaces { directory, broker: Arc::new(broker), clock, options, tls: Arc::new(tls) };
        server.serve_all(sockets, issuer, authority, &surfaces)?;
        let Surfaces { directory, .. } = surfaces;
        let established = |folder: &PathBuf| {
            operator::establish(&directory, folder, clock.now(), options.group_read)
        };
        let tasks = MaintenanceOptions {
            signing_key_rotation: options.signing_key_rotation,
            operator: options.data.as_ref().map(established).transpose()?,
            authority_end: authority.not_after(),
        };
        if let Some(folder) = &options.data {
            operator::write_endpoints(folder, server.endpoints())?;
        }
        server.maintenance = Some(Maintenance::start(directory, Arc::clone(clock), tasks)?);
        Ok(server)
    }

    fn serve_all(
        &mut self,
        sockets: Sockets,
        issuer: Arc<Issuer>,
        ca: &Arc<Authority>,
        surfaces: &Surfaces<'_>,
    ) -> Result<(), ServerError> {
        let Surfaces { directory, broker, clock, options, tls } = surfaces;
        let names = names(options, &sockets);
        let host_names = HostNames::new(&options.host_names);
        let service_addresses = service_addresses(options, &sockets)?;
        let responses = self.serve_imds(sockets.imds, broker, clock, options)?;
        let guarded = || {
            let transport = if options.tls_only { Transport::Tls } else { Transport::Either };
            transport(Arc::clone(tls))
        };
        let vault_tls = vaults::tls(directory, ca, clock, names.clone());
        let sts_options = StsOptions {
            base_url: sockets.sts.url.clone(),
            names,
            application_token_lifetime: options.application_token_lifetime,
            max_assertion_lifetime: options.max_assertion_lifetime,
            trusted_issuers: options.trusted_issuers.clone(),
            services: vec![
                (service_addresses.arm.port(), arm::AUDIENCE),
                (sockets.vault.bound.listener.local_addr()?.port(), vault::AUDIENCE),
                (sockets.vault.uris.port(), vault::AUDIENCE),
            ],
            seed: options.sts_seed,
        };
        let authority = options.authority_url.clone();
        let authority = authority.unwrap_or_else(|| sockets.sts.https_url());
        let sts = Sts::new(Arc::clone(directory), issuer, Arc::clone(clock), sts_options);
        self.serve(sockets.sts, guarded(), sts)?;
        let seed = |surface: u128| options.request_id_seed ^ (surface << 96);
        let arm_options = ArmOptions {
            auth: options.arm_auth,
            names: host_names.clone(),
            page_size: PAGE,
            seed: seed(1),
            service_addresses,
            vault_uris: sockets.vault.uris,
        };
        let arm = Arm::new(Arc::clone(directory), Arc::clone(clock), arm_options);
        self.serve(sockets.arm, guarded(), arm)?;
        let backup_key = ca.derived_key("mintbench secret backup");
        let names = host_names.clone();
        let max_versions = options.max_secret_versions.get();
        let vault_options =
            VaultOptions { authority, names, seed: seed(2), backup_key, max_versions };
        let vault = Vault::new(Arc::clone(directory), Arc::clone(clock), vault_options);
        self.serve(sockets.vault.bound, Transport::Tls(vault_tls), vault)?;
        if let Some(extension) = sockets.extension {
            let names = host_names.clone();
            let surface = Extension::new(Arc::clone(broker), Arc::clone(clock), names, seed(3));
            self.serve(extension, Transport::Plain, surface)?;
        }
        let watched = MetricSources {
            workers: responses,
            limiters: self.limiters.all(),
            hiccups: self.probe.as_ref().map(Probe::hiccups),
        };
        let (clock, ca_pem) = (Arc::clone(clock), ca.certificate_pem());
        let (broker, secret) = (Arc::clone(broker), &self.admin_secret.secret);
        let admin = Admin::new(broker, watched, clock, ca_pem, host_names, secret);
        Ok(self.serve(sockets.admin, Transport::Plain, admin)?)
    }

    fn serve_imds(
        &mut self,
        listeners: Vec<TcpListener>,
        broker: &Arc<Broker>,
        clock: &Arc<dyn Clock>,
        options: &ServerOptions,
    ) -> std::io::Result<Vec<Arc<Responses>>> {
        let mut responses = Vec::new();
        for (listener, worker) in listeners.into_iter().zip(0_u128..) {
            let seed = options.request_id_seed ^ (worker << 64);
            let names = HostNames::new(&options.host_names);
            let imds = Imds::new(Arc::clone(broker), Arc::clone(clock), names, seed);
            let imds = if options.hyper_only { imds.with_hyper_only() } else { imds };
            responses.push(imds.responses());
            self.spawn("imds", Priority::Normal, listener, Transport::Plain, imds)?;
        }
        Ok(responses)
    }

    fn serve<S: Surface>(
        &mut self,
        bound: Bound,
        transport: Transport,
        surface: S,
    ) -> std::io::Result<()> {
        let Bound { name, listener, url, priority } = bound;
        self.spawn(name, priority, listener, transport, surface)?;
        self.endpoints.push((name, url));
        Ok(())
    }

    fn spawn<S: Surface>(
        &mut self,
        name: &str,
        priority: Priority,
        listener: TcpListener,
        transport: Transport,
        surface: S,
    ) -> std::io::Result<()> {
        let settle = move || {
            if priority == Priority::Low {
                lower_priority();
            }
        };
        // The hook covers the blocking threads; the runtime's own thread calls `settle` below.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().on_thread_start(settle).build()?;
        let (stop, limiter) = (self.stop.subscribe(), self.limiters.of(name));
        let surface = Arc::new(surface);
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || {
            settle();
            run(&runtime, listener, transport, surface, limiter, stop);
        })?);
        Ok(())
    }

    /// Returns the file with the secret that permits changes at the admin endpoint. Returns `None` if it
    /// could not be written.
    pub(crate) fn admin_secret_file(&self) -> Option<&Path> {
        self.admin_secret.file.as_deref()
    }

    /// Returns each surface's name and URL.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.endpoints.iter().map(|(name, url)| (*name, url.as_str()))
    }
}

fn token_source(
    directory: &Arc<Directory>,
    issuer: &Arc<Issuer>,
    authority: &Authority,
    options: &ServerOptions,
) -> Result<Arc<dyn TokenSource>, ServerError> {
    let Some(remote) = &options.token_source else { return Ok(Arc::<Issuer>::clone(issuer)) };
    let own = || authority.certificate_pem().into_bytes();
    let trusted = client_config(&remote.ca_pem.clone().unwrap_or_else(own))?;
    Ok(Arc::new(Remote::start(Arc::clone(directory), &remote.url, trusted)?))
}

/// Issuer that signs the certificates of service principals with the authority. A service that trusts the
/// authority accepts them all.
#[derive(Debug)]
pub(crate) struct AuthorityIssuer(pub Arc<Authority>);

impl CertificateIssuer for AuthorityIssuer {
    fn certify(&self, request: &CertificateRequest<'_>) -> Result<Vec<u8>, KeyError> {
        let CertificateRequest { client_id, key, not_before, not_after } = *request;
        let issued = self.0.issue_client(&client_id.to_string(), key, not_before, not_after);
        Ok(issued.map_err(|error| KeyError::Certificate(error.to_string()))?.to_vec())
    }
}

impl Drop for Server {
    /// Finishes the requests in flight, then ends every thread.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.maintenance = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn run<S: Surface>(
    runtime: &Runtime,
    listener: TcpListener,
    transport: Transport,
    surface: Arc<S>,
    limiter: Arc<ConnectionLimiter>,
    mut stop: Shutdown,
) {
    let (tell, shutdown) = watch::channel(false);
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
        tell.send_replace(true);
        tokio::time::sleep(GRACE).await;
    };
    runtime.block_on(async move {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a socket cannot be served"),
        };
        tokio::select! {
            () = http::serve(listener, transport, surface, limiter, shutdown) => {}
            () = stopped => {
                tracing::warn!("requests were still in flight when the time to finish them was over");
            }
        }
    });
}
