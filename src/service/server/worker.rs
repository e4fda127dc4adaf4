//! Threads that serve one listener each.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::bound::Priority;
use crate::base::http;
use crate::base::http::{ConnectionLimiter, Shutdown, Surface, Transport};
use crate::base::process::lower_priority;

/// Time for requests in flight to finish once the server is told to stop. The longest wait of a request, in a
/// full mint queue, is about as long.
const GRACE: Duration = Duration::from_secs(10);

/// Settings of a thread.
pub(super) struct Worker<'a> {
    /// Name of the surface.
    pub(super) name: &'a str,
    pub(super) priority: Priority,
    pub(super) transport: Transport,
    /// Limits of its connections.
    pub(super) limiter: Arc<ConnectionLimiter>,
    /// Signal that ends the thread.
    pub(super) stop: Shutdown,
}

impl Worker<'_> {
    /// Starts the thread, which serves `surface` on `listener`.
    pub(super) fn spawn<S: Surface>(
        self,
        listener: TcpListener,
        surface: S,
    ) -> std::io::Result<JoinHandle<()>> {
        let Self { name, priority, transport, limiter, stop } = self;
        let settle = move || {
            if priority == Priority::Low {
                lower_priority();
            }
        };
        // The hook covers the blocking threads; the runtime's own thread calls `settle` below.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().on_thread_start(settle).build()?;
        let surface = Arc::new(surface);
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            settle();
            run(&runtime, listener, transport, surface, limiter, stop);
        })
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
