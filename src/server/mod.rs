//! Assembly: sockets, worker threads, shutdown. The only place that knows every surface.

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
use crate::http::{self, BindError, Shutdown, Surface};
use crate::imds::Imds;
use crate::sts::Sts;
use crate::token::{Issuer, TokenSource};

// What a server is set up with, so that whoever starts one needs to know nothing below it.
pub use crate::broker::BrokerOptions;
pub use crate::directory::{
    CredentialOptions, Directory, DirectoryError, DirectoryOptions, SigningOptions,
};
pub use crate::store::MemoryStore;
pub use crate::token::{Algorithm, Backend};

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where the identity endpoint listens; port 0 takes a free one.
    pub imds: SocketAddr,
    /// Where the keys are published.
    pub sts: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    /// Threads that read and answer requests of the identity endpoint.
    pub workers: NonZeroUsize,
    /// How long a token lives.
    pub token_lifetime: Seconds,
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
}

impl Server {
    /// Binds every surface, makes a signing key and starts to answer. When this returns, requests
    /// are answered.
    ///
    /// # Errors
    /// When an address is refused or the system lacks something; then nothing goes on running.
    pub fn start(
        directory: Arc<Directory>,
        clock: &Arc<dyn Clock>,
        options: &ServerOptions,
    ) -> Result<Self, ServerError> {
        let imds =
            http::bind_group(options.imds, options.workers.get()).map_err(bind_error("imds"))?;
        let sts = http::bind(options.sts).map_err(bind_error("sts"))?;
        let admin = http::bind(options.admin).map_err(bind_error("admin"))?;
        let issuer = Arc::new(Issuer::new(directory.ring(), options.token_lifetime));
        let source: Arc<dyn TokenSource> = Arc::<Issuer>::clone(&issuer);
        let broker =
            Broker::start(Arc::clone(&directory), source, Arc::clone(clock), &options.broker)?;
        let broker = Arc::new(broker);
        let mut server = Self {
            endpoints: vec![
                ("imds", url(imds.first())?),
                ("sts", url(Some(&sts))?),
                ("admin", url(Some(&admin))?),
            ],
            stop: watch::channel(false).0,
            threads: Vec::new(),
        };
        let mut responses = Vec::new();
        for (listener, worker) in imds.into_iter().zip(0_u128..) {
            let seed = options.request_id_seed ^ (worker << 64);
            let imds = Imds::new(Arc::clone(&broker), Arc::clone(clock), seed);
            responses.push(imds.responses());
            server.spawn("imds", listener, Arc::new(imds))?;
        }
        let sts_url = url(Some(&sts))?;
        server.spawn("sts", sts, Arc::new(Sts::new(directory, issuer, sts_url)))?;
        server.spawn("admin", admin, Arc::new(Admin::new(broker, responses)))?;
        Ok(server)
    }

    fn spawn<S: Surface>(
        &mut self,
        name: &str,
        listener: TcpListener,
        surface: Arc<S>,
    ) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = self.stop.subscribe();
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || run(&runtime, listener, surface, stop))?);
        Ok(())
    }

    /// Each surface's name and URL.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.endpoints.iter().map(|(name, url)| (*name, url.as_str()))
    }
}

impl Drop for Server {
    /// Finishes the requests in flight, then ends every thread.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn run<S: Surface>(runtime: &Runtime, listener: TcpListener, surface: Arc<S>, mut stop: Shutdown) {
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
            () = http::serve(listener, surface, shutdown) => {}
            () = stopped => {
                tracing::warn!("requests were still in flight when the time to finish them was over");
            }
        }
    });
}

fn bind_error(surface: &'static str) -> impl FnOnce(BindError) -> ServerError {
    move |source| ServerError::Bind { surface, source }
}

fn url(listener: Option<&TcpListener>) -> std::io::Result<String> {
    let addr = listener.map_or_else(
        || Err(std::io::ErrorKind::AddrNotAvailable.into()),
        TcpListener::local_addr,
    )?;
    Ok(format!("http://{addr}"))
}
