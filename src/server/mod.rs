//! Assembly: sockets, worker threads, shutdown. The only place that knows every surface.

mod machine;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin::Admin;
use crate::broker::Broker;
use crate::clock::{Clock, Seconds};
use crate::http::{self, BindError, Responses, Shutdown, Surface};
use crate::imds::Imds;
use crate::sts::Sts;
use crate::token::{Issuer, KeyError, SigningKey};
use crate::world::World;

// What a server is set up with, so that whoever starts one needs to know nothing below it.
pub use crate::broker::BrokerOptions;
pub use crate::token::{Algorithm, Backend};
pub use machine::{MachineError, allowed_cpus, pin_process, raise_file_limit};

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
    pub workers: usize,
    /// What tokens are signed with.
    pub algorithm: Algorithm,
    /// Which library signs.
    pub backend: Backend,
    /// How long a token lives.
    pub token_lifetime: Seconds,
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
    /// There is no signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
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
        world: World,
        clock: &Arc<dyn Clock>,
        options: &ServerOptions,
    ) -> Result<Self, ServerError> {
        let world = Arc::new(world);
        let (imds, imds_addr) = listener("imds", options.imds)?;
        let (sts, sts_addr) = listener("sts", options.sts)?;
        let (admin, admin_addr) = listener("admin", options.admin)?;
        let key = SigningKey::generate(options.algorithm, options.backend, clock.now())?;
        let issuer = Arc::new(Issuer::new(Arc::new(key), options.token_lifetime));
        let broker = Broker::start(
            Arc::clone(&world),
            Arc::clone(&issuer),
            Arc::clone(clock),
            &options.broker,
        )?;
        let mut server = Self {
            endpoints: vec![
                ("imds", url(imds_addr)),
                ("sts", url(sts_addr)),
                ("admin", url(admin_addr)),
            ],
            stop: watch::channel(false).0,
            threads: Vec::new(),
        };
        let broker = Arc::new(broker);
        let counters = server.start_imds(imds, imds_addr, &broker, clock, options)?;
        server.spawn("sts", sts, Arc::new(Sts::new(world, issuer, url(sts_addr))))?;
        server.spawn("admin", admin, Arc::new(Admin::new(broker, counters)))?;
        Ok(server)
    }

    /// One thread, socket and counter set for each worker; the kernel spreads connections over them.
    fn start_imds(
        &mut self,
        first: TcpListener,
        addr: SocketAddr,
        broker: &Arc<Broker>,
        clock: &Arc<dyn Clock>,
        options: &ServerOptions,
    ) -> Result<Vec<Arc<Responses>>, ServerError> {
        let mut counters = Vec::new();
        let mut listeners = vec![first];
        for _ in 1..options.workers {
            listeners.push(listener("imds", addr)?.0);
        }
        let seed = options
            .broker
            .seed
            .split_first_chunk()
            .map_or(0, |(half, _)| u128::from_be_bytes(*half));
        for (listener, worker) in listeners.into_iter().zip(0_u128..) {
            let imds = Imds::new(Arc::clone(broker), Arc::clone(clock), seed ^ (worker << 64));
            counters.push(imds.responses());
            self.spawn("imds", listener, Arc::new(imds))?;
        }
        Ok(counters)
    }

    fn spawn<S: Surface>(
        &mut self,
        name: &str,
        listener: TcpListener,
        surface: Arc<S>,
    ) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shutdown = self.stop.subscribe();
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || run(&runtime, listener, surface, shutdown))?);
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

fn run<S: Surface>(runtime: &Runtime, listener: TcpListener, surface: Arc<S>, shutdown: Shutdown) {
    let mut stop = shutdown.clone();
    runtime.block_on(async move {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a socket cannot be served"),
        };
        let grace_over = async {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = http::serve(listener, surface, shutdown) => {}
            () = grace_over => tracing::warn!("requests were still in flight when the time to finish them was over"),
        }
    });
}

fn listener(
    surface: &'static str,
    addr: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServerError> {
    let listener = http::bind(addr).map_err(|source| ServerError::Bind { surface, source })?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}
