//! Assembly: sockets, worker threads, shutdown. The only place that knows every surface.

mod caretaker;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin::Admin;
use crate::broker::Broker;
use crate::clock::{Clock, Seconds};
use crate::http::{self, BindError, Responses, Scheme, Shutdown, Surface, Transport};
use crate::imds::{Extension, Imds};
use crate::sts::Sts;
use crate::tls::TlsError;
use crate::token::{Issuer, TokenSource};

use caretaker::{Caretaker, Duties};

// What a server is set up with, so that whoever starts one needs to know nothing below it.
pub use crate::broker::BrokerOptions;
pub use crate::directory::{
    CredentialOptions, Directory, DirectoryError, DirectoryOptions, SigningOptions,
};
pub use crate::store::{MemoryStore, RedbStore, Store, StoreError};
pub use crate::tls::Authority;
pub use crate::token::{Algorithm, Backend};

/// How a server is set up. Port 0 takes a free one.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where the identity endpoint listens.
    pub imds: SocketAddr,
    /// Where the endpoint of the VM extension listens, if it is wanted.
    pub vm_extension: Option<SocketAddr>,
    /// Where tokens are asked for by clients with a credential, and keys are published.
    pub sts: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    /// Whether the token service and the control plane refuse plain HTTP.
    pub tls_only: bool,
    /// Names, beside this machine's own, that the server certificate is for.
    pub host_names: Vec<String>,
    /// Threads that read and answer requests of the identity endpoint.
    pub workers: NonZeroUsize,
    /// How long a token lives.
    pub token_lifetime: Seconds,
    /// How long a key signs tokens before the next one takes over; `None` is for ever.
    pub signing_key_rotation: Option<Seconds>,
    /// Makes the request ids of this process differ from those of others.
    pub request_id_seed: u128,
    /// The broker's own options.
    pub broker: BrokerOptions,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A surface does not listen.
    #[error("the {surface} endpoint does not start")]
    Bind {
        /// Which surface.
        surface: &'static str,
        /// Why.
        source: BindError,
    },
    /// There is no server certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gives no thread, runtime or socket.
    #[error("cannot start a worker")]
    System(#[from] std::io::Error),
}

/// Time that requests in flight get to finish once the server is told to stop; the longest wait of a
/// request, a full mint queue, is about as long.
const GRACE: Duration = Duration::from_secs(10);

/// A running server; stops when told to, or when dropped.
#[derive(Debug)]
pub struct Server {
    endpoints: Vec<(&'static str, String)>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    caretaker: Option<Caretaker>,
}

/// A surface that is bound but does not answer yet.
struct Bound {
    name: &'static str,
    listener: TcpListener,
    url: String,
}

impl Server {
    /// Binds every surface and starts to answer. When this returns, requests are answered.
    ///
    /// # Errors
    /// When an address is refused or the system lacks something; then nothing goes on running.
    pub fn start(
        directory: Arc<Directory>,
        authority: &Authority,
        clock: &Arc<dyn Clock>,
        options: &ServerOptions,
    ) -> Result<Self, ServerError> {
        let imds =
            http::bind_group(options.imds, options.workers.get()).map_err(bind_error("imds"))?;
        let imds_url = url(imds.first(), Scheme::Http)?;
        let scheme = if options.tls_only { Scheme::Https } else { Scheme::Http };
        let sts = Bound::open("sts", options.sts, scheme)?;
        let admin = Bound::open("admin", options.admin, Scheme::Http)?;
        let extension = options.vm_extension;
        let extension =
            extension.map(|addr| Bound::open("vm-extension", addr, Scheme::Http)).transpose()?;
        let tls = authority.server_config(&names(options, &[&sts]), clock.now())?;
        let issuer = Arc::new(Issuer::new(directory.ring(), options.token_lifetime));
        let source: Arc<dyn TokenSource> = Arc::<Issuer>::clone(&issuer);
        let broker =
            Broker::start(Arc::clone(&directory), source, Arc::clone(clock), &options.broker)?;
        let broker = Arc::new(broker);
        let mut server = Self {
            endpoints: vec![("imds", imds_url)],
            stop: watch::channel(false).0,
            threads: Vec::new(),
            caretaker: None,
        };
        let responses = server.serve_imds(imds, &broker, clock, options)?;
        let guarded = if options.tls_only { Transport::Tls } else { Transport::Either };
        let surface = Sts::new(Arc::clone(&directory), issuer, sts.url.clone());
        server.serve(sts, guarded(Arc::clone(&tls)), surface)?;
        if let Some(extension) = extension {
            let seed = !options.request_id_seed;
            let surface = Extension::new(Arc::clone(&broker), Arc::clone(clock), seed);
            server.serve(extension, Transport::Plain, surface)?;
        }
        let surface = Admin::new(broker, responses, Arc::clone(clock), authority.certificate_pem());
        server.serve(admin, Transport::Plain, surface)?;
        let duties = Duties { signing_key_rotation: options.signing_key_rotation };
        server.caretaker = Some(Caretaker::start(directory, Arc::clone(clock), duties)?);
        Ok(server)
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
            let imds = Imds::new(Arc::clone(broker), Arc::clone(clock), seed);
            responses.push(imds.responses());
            self.spawn("imds", listener, Transport::Plain, imds)?;
        }
        Ok(responses)
    }

    fn serve<S: Surface>(
        &mut self,
        bound: Bound,
        transport: Transport,
        surface: S,
    ) -> std::io::Result<()> {
        let Bound { name, listener, url } = bound;
        self.spawn(name, listener, transport, surface)?;
        self.endpoints.push((name, url));
        Ok(())
    }

    fn spawn<S: Surface>(
        &mut self,
        name: &str,
        listener: TcpListener,
        transport: Transport,
        surface: S,
    ) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = self.stop.subscribe();
        let surface = Arc::new(surface);
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || run(&runtime, listener, transport, surface, stop))?);
        Ok(())
    }

    /// Each surface's name and URL.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.endpoints.iter().map(|(name, url)| (*name, url.as_str()))
    }
}

impl Bound {
    fn open(name: &'static str, addr: SocketAddr, scheme: Scheme) -> Result<Self, ServerError> {
        let listener = http::bind(addr).map_err(bind_error(name))?;
        let url = url(Some(&listener), scheme)?;
        Ok(Self { name, listener, url })
    }
}

/// Whom the server certificate is for: this machine by every local name, the listeners' addresses, the
/// vaults by name, and what was asked for.
fn names(options: &ServerOptions, listeners: &[&Bound]) -> Vec<String> {
    let local = ["localhost", "127.0.0.1", "::1", "169.254.169.254", "*.vault.localhost"];
    let mut names: Vec<String> = local.map(str::to_owned).into();
    let addresses = listeners.iter().filter_map(|bound| bound.listener.local_addr().ok());
    names.extend(addresses.map(|addr| addr.ip().to_string()));
    names.extend(options.host_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

impl Drop for Server {
    /// Finishes the requests in flight, then ends every thread.
    fn drop(&mut self) {
        self.caretaker = None;
        self.stop.send_replace(true);
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
            () = http::serve(listener, transport, surface, shutdown) => {}
            () = stopped => {
                tracing::warn!("requests were still in flight when the time to finish them was over");
            }
        }
    });
}

fn bind_error(surface: &'static str) -> impl FnOnce(BindError) -> ServerError {
    move |source| ServerError::Bind { surface, source }
}

fn url(listener: Option<&TcpListener>, scheme: Scheme) -> std::io::Result<String> {
    let addr = listener.map_or_else(
        || Err(std::io::ErrorKind::AddrNotAvailable.into()),
        TcpListener::local_addr,
    )?;
    Ok(format!("{scheme}://{addr}"))
}
