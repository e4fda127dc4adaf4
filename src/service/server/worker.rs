//! Threads that serve one listener each.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::bound::Priority;
use crate::base::http;
use crate::base::http::{ConnectionLimiter, Shutdown, Surface, Transport};
use crate::base::process::{lower_priority, prompt};
use crate::base::wakes::deliver;

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
        let settle = move || match priority {
            Priority::Prompt => prompt(),
            Priority::Normal => {}
            Priority::Low => lower_priority(),
        };
        // The hook covers the blocking threads; the runtime's own thread calls `settle` below.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_io().on_thread_start(settle);
        // Timers cost each request instructions, and only handshakes have any.
        if !matches!(transport, Transport::Plain) {
            runtime.enable_time();
        }
        let runtime = runtime.build()?;
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
    let tells = async move {
        let _ = stop.wait_for(|stop| *stop).await;
        tell.send_replace(true);
        std::future::pending::<()>().await;
    };
    let served = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        http::serve(listener, transport, surface, limiter, shutdown).await
    };
    runtime.spawn(deliver());
    runtime.block_on(async move {
        tokio::select! {
            served = served => {
                if let Err(error) = served {
                    tracing::error!(%error, "a socket cannot be served");
                }
            }
            () = tells => {}
        }
    });
}
