//! Listeners of single VMs.
//!
//! An SDK cannot choose the address that it calls from, so all programs of one host are one VM. A VM may
//! therefore have a listener of its own, a port of 127.0.0.1 where every caller is this VM. The port is part
//! of the VM's record: it is the same after a restart, and ends with the VM.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::bound::Priority;
use super::options::Readers;
use super::worker::Worker;
use crate::base::clock::Clock;
use crate::base::http::{
    BindError, ConnectionLimiter, HostNames, Reach, Responses, Transport, bind,
};
use crate::service::admin::{OpenError, OpenListener};
use crate::service::broker::Broker;
use crate::service::directory::Called;
use crate::service::faults::{Faults, Faulty};
use crate::service::imds::Imds;
use crate::service::world::record::{Change, Record, VirtualMachine};

/// Greatest number of listeners. Each costs a thread and about eight file descriptors.
const LISTENERS_MAX: usize = 32;

/// Broker and settings that all listeners share.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) broker: Arc<Broker>,
    pub(super) clock: Arc<dyn Clock>,
    /// Host names that callers may use.
    pub(super) names: HostNames,
    /// Seed of the request ids, unlike that of any other worker.
    pub(super) seed: u128,
    /// Limits of the connections of all endpoints.
    pub(super) limiter: Arc<ConnectionLimiter>,
    /// Counter of the answers.
    pub(super) responses: Arc<Responses>,
    /// Readers of the requests.
    pub(super) readers: Readers,
    /// Faults of all endpoints.
    pub(super) faults: Arc<Faults>,
}

/// The listeners of VMs. They stop when this is dropped.
#[derive(Debug)]
pub(super) struct VmListeners {
    served: Served,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    listeners: Vec<Listening>,
    /// VMs whose recorded port was taken. The log has a line for each.
    failed: Vec<Called>,
    /// Number of listeners that were ever open.
    count: u128,
}

#[derive(Debug)]
struct Listening {
    called: Called,
    port: u16,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Listening {
    fn url(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }
}

impl VmListeners {
    /// Creates the listeners; [`follow`](Self::follow) opens them.
    pub(super) fn new(served: Served) -> Self {
        Self { served, open: Mutex::default() }
    }

    /// Opens the listeners that the world names, and closes those of VMs that are gone.
    pub(super) fn follow(&self) {
        let mut open = self.open.lock();
        // Read under the lock, so that a listener that is being opened is not closed again.
        let wanted: Vec<(Called, u16)> =
            self.served.broker.directory().read().own_listeners().collect();
        let stays = |one: &Listening| {
            wanted.iter().any(|(called, port)| *called == one.called && *port == one.port)
        };
        for gone in open.listeners.extract_if(.., |one| !stays(one)) {
            // Its thread ends by itself once its connections have ended.
            gone.stop.send_replace(true);
        }
        for (called, port) in wanted {
            let is_open = open.listeners.iter().any(|one| one.called == called);
            if is_open || open.failed.contains(&called) || open.listeners.len() >= LISTENERS_MAX {
                continue;
            }
            match self.listen(&mut open, &called, port) {
                Ok(new) => open.listeners.push(new),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    let vm = called.vm.name();
                    tracing::warn!(
                        error,
                        vm,
                        port,
                        "a VM's own listener is closed; `mintbench env --vm` opens it at another port"
                    );
                    open.failed.push(called);
                }
            }
        }
    }

    /// Tells every listener to finish the requests in flight and end.
    pub(super) fn stop(&self) {
        for one in &self.open.lock().listeners {
            one.stop.send_replace(true);
        }
    }

    fn listen(&self, open: &mut Open, called: &Called, port: u16) -> Result<Listening, BindError> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let failed = |source| BindError::System { addr, source };
        let listener = bind(addr, Reach::Local)?;
        let port = listener.local_addr().map_err(failed)?.port();
        open.count += 1;
        let Served { broker, clock, names, seed, limiter, responses, readers, faults } =
            &self.served;
        let imds = Imds::new(
            Arc::clone(broker),
            Arc::clone(clock),
            names.clone(),
            seed ^ (open.count << 64),
        );
        let imds = imds.of_vm(Arc::new(called.clone()), Arc::clone(responses));
        let imds = Faulty::new(readers.of(imds), Arc::clone(faults));
        let (stop, stopped) = watch::channel(false);
        let worker = Worker {
            name: "imds",
            priority: Priority::Prompt,
            transport: Transport::Plain,
            limiter: Arc::clone(limiter),
            stop: stopped,
        };
        let thread = worker.spawn(listener, imds).map_err(failed)?;
        Ok(Listening { called: called.clone(), port, stop, thread })
    }

    /// Finds the VM that `name` names, and its recorded port.
    fn named(&self, name: &str) -> Result<(Called, Option<u16>), OpenError> {
        let state = self.served.broker.directory().read();
        match state.vms_called(name).as_slice() {
            [entry] => {
                let record = &entry.vm.record;
                let called = Called { vm: record.id.clone(), vm_id: record.vm_id };
                Ok((called, record.listener))
            }
            [] => Err(OpenError::Unknown(name.to_owned())),
            several => {
                let ids = several.iter().map(|entry| entry.vm.record.id.to_string());
                Err(OpenError::Ambiguous { name: name.to_owned(), ids: ids.collect() })
            }
        }
    }

    /// Stores the port in the VM's record.
    fn record(&self, called: &Called, port: u16) -> Result<(), OpenError> {
        let now = self.served.clock.now();
        self.served.broker.directory().write(now, |state, _| {
            let entry = state.vm(&called.vm);
            let entry = entry.filter(|entry| entry.vm.record.vm_id == called.vm_id);
            let entry = entry.ok_or_else(|| OpenError::Unknown(called.vm.to_string()))?;
            let record = VirtualMachine::clone(&entry.vm.record);
            let record = VirtualMachine { listener: Some(port), ..record };
            Ok((vec![Change::Put(Record::VirtualMachine(record))], ()))
        })
    }
}

impl OpenListener for VmListeners {
    fn open(&self, vm: &str) -> Result<String, OpenError> {
        let (called, recorded) = self.named(vm)?;
        let mut open = self.open.lock();
        if let Some(held) = open.listeners.iter().find(|one| one.called == called) {
            return Ok(held.url());
        }
        if open.listeners.len() >= LISTENERS_MAX {
            return Err(OpenError::TooMany(LISTENERS_MAX));
        }
        let again = recorded.and_then(|port| self.listen(&mut open, &called, port).ok());
        let new = match again {
            Some(again) => again,
            None => self.listen(&mut open, &called, 0)?,
        };
        if recorded != Some(new.port) {
            // Dropping the sender ends the listener again.
            self.record(&called, new.port)?;
        }
        let url = new.url();
        open.failed.retain(|other| *other != called);
        open.listeners.push(new);
        Ok(url)
    }
}

impl Drop for VmListeners {
    /// Finishes the requests in flight, then ends every thread.
    fn drop(&mut self) {
        self.stop();
        for one in self.open.get_mut().listeners.drain(..) {
            let _ = one.thread.join();
        }
    }
}
