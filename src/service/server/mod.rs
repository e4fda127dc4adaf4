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
mod vm_listeners;
mod worker;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::base::clock::{Clock, Seconds};
use crate::base::http::{HostNames, Reach, Responses, Surface, Transport};
use crate::base::network::default_gateways;
use crate::base::process::exact_timers;
use crate::base::secret::Redacted;
use crate::base::tls;
use crate::base::tls::{ServerTls, client_config};
use crate::service::admin::hiccups::Probe;
use crate::service::admin::{Admin, AdminOptions, Guard, MetricSources, TestTools};
use crate::service::arm::{Arm, ArmOptions};
use crate::service::broker::{Broker, CallerSecrets};
use crate::service::faults::{Faults, Faulty, FaultySource, Target};
use crate::service::imds::{AppService, Extension, GatewayNotice, Imds};
use crate::service::source::Remote;
use crate::service::sts::{Federation, Sts};
use crate::service::token::{
    CertificateIssuer, CertificateRequest, Issuer, KeyError, TokenBreaker, TokenSource,
};

use addresses::{names, own_services, service_addresses};
use admin_secret::AdminSecret;
use bound::{Bound, Priority, callable};
pub(crate) use checkup::check_store;
use connection_limits::Limiters;
pub(crate) use connection_limits::{ConnectionOptions, TooManyConnections};
pub(crate) use error::ServerError;
use maintenance::{Maintenance, MaintenanceOptions};
pub(crate) use options::{Readers, RemoteSource, ServerOptions};
use sockets::Sockets;
use trim::Trimmer;
use vm_listeners::{Served, VmListeners};
use worker::Worker;

use crate::service::vault::{Vault, VaultOptions};

// Settings types, exported so that code that starts a server needs no module below this one.
pub(crate) use crate::base::files::Clients;
pub(crate) use crate::base::tls::Authority;
pub(crate) use crate::service::arm::ArmAuth;
pub(crate) use crate::service::broker::BrokerOptions;
pub(crate) use crate::service::directory::{
    CredentialOptions, Directory, DirectoryError, DirectoryOptions, SigningOptions,
};
pub(crate) use crate::service::faults::{FaultPlan, PlanError};
pub(crate) use crate::service::store::{
    FolderOptions, MemoryStore, NewStore, RedbStore, Store, StoreError,
};
pub(crate) use crate::service::sts::{FederationOptions, PlainHttp, StsOptions};
pub(crate) use crate::service::token::{Algorithm, ForeignKeys};

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

/// A running server; stops when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    endpoints: Vec<(&'static str, String)>,
    stop: watch::Sender<bool>,
    limiters: Limiters,
    threads: Vec<JoinHandle<()>>,
    maintenance: Option<Maintenance>,
    listeners: Option<Arc<VmListeners>>,
    /// Stops with the server.
    _trimmer: Trimmer,
    probe: Option<Probe>,
    admin_secret: AdminSecret,
    identity_header: Option<Redacted>,
    faults: Arc<Faults>,
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
        let breaker = breaker(&directory, options);
        let faults = Arc::new(Faults::new(breaker));
        let source = token_source(&directory, &issuer, authority, options)?;
        let source = FaultySource::new(source, Arc::clone(&directory), Arc::clone(&faults));
        let source: Arc<dyn TokenSource> = Arc::new(source);
        let broker =
            Broker::start(Arc::clone(&directory), source, Arc::clone(clock), &options.broker)?;
        let admin_secret = match &options.data {
            Some(folder) => {
                AdminSecret::kept(folder, &options.fresh_admin_secret, options.group_read)?
            }
            None => AdminSecret::passing(options.fresh_admin_secret.clone(), options.clients),
        };
        let limiters = Limiters::new(options.connections);
        let mut server = Self {
            admin_secret,
            identity_header: None,
            faults,
            endpoints: vec![("imds", sockets.imds_url.clone())],
            stop: watch::channel(false).0,
            threads: Vec::new(),
            maintenance: None,
            listeners: None,
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
            max_versions: options.max_secret_versions.get(),
            listeners: server.listeners.clone(),
        };
        match (&options.data, server.admin_secret.private_folder()) {
            (Some(folder), _) => operator::write_endpoints(folder, server.endpoints())?,
            (None, Some(folder)) => server.describe_in(folder, authority),
            (None, None) => {}
        }
        if let Some(plan) = options.faults.clone() {
            server.faults.set(plan)?;
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
        directory.serve(own_services(&names, &sockets)?);
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
            federation: Arc::new(Federation::new(options.federation.clone())?),
            seed: options.sts_seed,
        };
        let authority = options.authority_url.clone();
        let authority = authority.unwrap_or_else(|| sockets.sts.https_url());
        let sts = Sts::new(Arc::clone(directory), issuer, Arc::clone(clock), sts_options);
        let sts = sts.with_faults(Arc::clone(&self.faults));
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
        self.serve(sockets.arm, guarded(), self.faulty(arm))?;
        let backup_key = ca.derived_key("mintbench secret backup");
        let names = host_names.clone();
        let max_versions = options.max_secret_versions.get();
        let vault_options =
            VaultOptions { authority, names, seed: seed(2), backup_key, max_versions };
        let vault = Vault::new(Arc::clone(directory), Arc::clone(clock), vault_options);
        self.serve(sockets.vault.bound, Transport::Tls(vault_tls), self.faulty(vault))?;
        let caller_secrets =
            Arc::new(CallerSecrets::new(&ca.derived_key("mintbench identity header")));
        self.serve_extension(sockets.extension, surfaces, seed(3))?;
        self.serve_app_service(sockets.app_service, surfaces, &caller_secrets, seed(4))?;
        Ok(self.serve_admin(sockets.admin, responses, ca, caller_secrets, surfaces)?)
    }

    fn serve_admin(
        &mut self,
        bound: Bound,
        responses: Vec<Arc<Responses>>,
        ca: &Authority,
        caller_secrets: Arc<CallerSecrets>,
        surfaces: &Surfaces<'_>,
    ) -> std::io::Result<()> {
        let Surfaces { directory, broker, clock, options, .. } = surfaces;
        let names = HostNames::new(&options.host_names);
        let listeners = Arc::new(VmListeners::new(Served {
            broker: Arc::clone(broker),
            clock: Arc::clone(clock),
            names: names.clone(),
            seed: options.request_id_seed ^ (5 << 96),
            limiter: self.limiters.of("imds"),
            responses: responses.first().map(Arc::clone).unwrap_or_default(),
            readers: options.readers,
            faults: Arc::clone(&self.faults),
        }));
        listeners.follow();
        self.listeners = Some(Arc::clone(&listeners));
        let watched = MetricSources {
            workers: responses,
            limiters: self.limiters.all(),
            hiccups: self.probe.as_ref().map(Probe::hiccups),
            faults: Arc::clone(&self.faults),
        };
        let guard = match options.reach("admin") {
            Reach::Local => Guard::Changes,
            Reach::Network => Guard::Everything,
        };
        let admin_options = AdminOptions {
            ca_pem: ca.certificate_pem(),
            names,
            secret: self.admin_secret.secret.clone(),
            guard,
            listeners,
            caller_secrets,
            faults: Arc::clone(&self.faults),
            tools: options.test_tools.as_ref().map(|clock| TestTools {
                start: directory.read().records(),
                clock: Arc::clone(clock),
                breaker: breaker(directory, options),
            }),
        };
        let admin = Admin::new(Arc::clone(broker), watched, Arc::clone(clock), admin_options);
        self.serve(bound, Transport::Plain, admin)
    }

    fn serve_extension(
        &mut self,
        bound: Option<Bound>,
        surfaces: &Surfaces<'_>,
        seed: u128,
    ) -> std::io::Result<()> {
        let Some(bound) = bound else { return Ok(()) };
        let Surfaces { broker, clock, options, .. } = surfaces;
        let names = HostNames::new(&options.host_names);
        let surface = Extension::new(Arc::clone(broker), Arc::clone(clock), names, seed);
        self.serve(bound, Transport::Plain, self.faulty(surface))
    }

    fn serve_app_service(
        &mut self,
        bound: Option<Bound>,
        surfaces: &Surfaces<'_>,
        secrets: &Arc<CallerSecrets>,
        seed: u128,
    ) -> std::io::Result<()> {
        let Some(bound) = bound else { return Ok(()) };
        let Surfaces { broker, clock, options, .. } = surfaces;
        // Programs of this machine call a listener on all addresses from a loopback address.
        let address = callable(bound.listener.local_addr()?).ip();
        let vm = broker.vm(&broker.caller(address), clock.now());
        // The process that started this server asks for the header that it needs.
        if vm.is_none() && options.clients == Clients::OfUser {
            tracing::warn!(
                %address,
                "no virtual machine calls from the address of the App Service endpoint, so no identity header is printed; get that of a machine with POST /identity-header?vm=NAME at the admin endpoint"
            );
        }
        self.identity_header = vm.map(|vm| secrets.of(vm.record.vm_id));
        let names = HostNames::new(&options.host_names);
        let (broker, secrets, clock) = (Arc::clone(broker), Arc::clone(secrets), Arc::clone(clock));
        let surface = AppService::new(broker, secrets, clock, names, seed);
        self.serve(bound, Transport::Plain, self.faulty(surface))
    }

    fn serve_imds(
        &mut self,
        listeners: Vec<TcpListener>,
        broker: &Arc<Broker>,
        clock: &Arc<dyn Clock>,
        options: &ServerOptions,
    ) -> std::io::Result<Vec<Arc<Responses>>> {
        let mut responses = Vec::new();
        let notice = Arc::new(GatewayNotice::new(default_gateways()));
        for (listener, worker) in listeners.into_iter().zip(0_u128..) {
            let seed = options.request_id_seed ^ (worker << 64);
            let names = HostNames::new(&options.host_names);
            let imds = Imds::new(Arc::clone(broker), Arc::clone(clock), names, seed);
            let imds = imds.noticing(Arc::clone(&notice));
            let imds = options.readers.of(imds);
            responses.push(imds.responses());
            let imds = self.faulty(imds);
            self.spawn("imds", Priority::Prompt, listener, Transport::Plain, imds)?;
        }
        Ok(responses)
    }

    fn faulty<S: Target>(&self, surface: S) -> Faulty<S> {
        Faulty::new(surface, Arc::clone(&self.faults))
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
        let (stop, limiter) = (self.stop.subscribe(), self.limiters.of(name));
        let worker = Worker { name, priority, transport, limiter, stop };
        self.threads.push(worker.spawn(listener, surface)?);
        Ok(())
    }

    /// Writes the URLs and the authority to the private folder, so that clients of this user find the server.
    fn describe_in(&self, folder: &Path, authority: &Authority) {
        let written = operator::write_endpoints(folder, self.endpoints());
        let written =
            written.and_then(|()| operator::write_authority(folder, &authority.certificate_pem()));
        if let Err(error) = written {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "other commands of this user will not find this server");
        }
    }

    /// Returns the file with the secret that permits changes at the admin endpoint. Returns `None` if it
    /// could not be written.
    pub(crate) fn admin_secret_file(&self) -> Option<&Path> {
        self.admin_secret.file.as_deref()
    }

    /// Returns the secret of the machine that calls from the address of the App Service endpoint, if the endpoint
    /// is served and there is such a machine.
    pub(crate) const fn identity_header(&self) -> Option<&Redacted> {
        self.identity_header.as_ref()
    }

    /// Returns the secret of the admin endpoint.
    pub(crate) fn admin_secret(&self) -> &Redacted {
        &self.admin_secret.secret
    }

    /// Returns each surface's name and URL.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.endpoints.iter().map(|(name, url)| (*name, url.as_str()))
    }
}

/// Returns the maker of broken tokens of a server for tests. Its keys must be those that verifiers know.
fn breaker(directory: &Directory, options: &ServerOptions) -> Option<Arc<TokenBreaker>> {
    let may = options.test_tools.is_some() && options.token_source.is_none();
    may.then(|| Arc::new(TokenBreaker::new(directory.ring())))
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
        self.faults.clear();
        self.stop.send_replace(true);
        self.maintenance = None;
        if let Some(listeners) = self.listeners.take() {
            listeners.stop();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
