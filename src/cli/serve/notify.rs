//! Messages to the service manager that started this process, by the protocol of `sd_notify(3)`.
//!
//! The manager names a datagram socket in `NOTIFY_SOCKET`: a path, or a name that begins with `@` and is in no file
//! system. It names the interval of its watchdog in `WATCHDOG_USEC`, and the process that it watches in
//! `WATCHDOG_PID`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderValue};

use crate::base::client::{Client, ClientLimits};
use crate::base::secret::Redacted;

/// Longest wait for a manager that does not read.
const SENT_WITHIN: Duration = Duration::from_secs(1);

/// Checks of the server in one interval of the watchdog. Each may take a quarter of it, so one late answer does
/// not end the server.
const CHECKS: u32 = 4;

/// The service manager of this process, if it has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notifier {
    /// Path or name of its socket.
    socket: Option<OsString>,
    /// Interval in which its watchdog expects a message.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads the variables of the manager. `given` returns the value of a variable, and `pid` is this process.
    pub(super) fn of(given: &dyn Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        let number = |name: &str| given(name)?.to_str()?.parse::<u64>().ok();
        let watched = given("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(pid.into());
        let interval_us = number("WATCHDOG_USEC").filter(|us| watched && *us > 0);
        Self { socket: given("NOTIFY_SOCKET"), watchdog: interval_us.map(Duration::from_micros) }
    }

    /// Tells the manager that the server answers, and where.
    pub(super) fn ready(&self, imds: &str) {
        self.tell(&format!("READY=1\nSTATUS=The identity endpoint is {imds}"));
    }

    /// Tells the manager that the server finishes the requests in flight and ends.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Finishing the requests in flight");
    }

    /// Tells the watchdog that the server answers, as long as it does. Ends at once if there is no watchdog, and
    /// never otherwise.
    pub(super) async fn watch(&self, admin: &str, secret: &Redacted) {
        let Some(interval) = self.watchdog.filter(|_| self.socket.is_some()) else { return };
        let pause = interval / CHECKS;
        let limits = ClientLimits { connect: pause, total: pause, ..ClientLimits::default() };
        let client = Client::new(None, limits);
        while let Some(request) = liveness(admin, secret) {
            if client.send(request).await.is_ok() {
                self.tell("WATCHDOG=1");
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, state) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                socket = %socket.display(),
                "the service manager hears nothing of this server, and may end it"
            );
        }
    }
}

/// Returns a request that asks whether the server answers. An exposed endpoint needs the secret.
fn liveness(admin: &str, secret: &Redacted) -> Option<Request<Bytes>> {
    let bearer = [b"Bearer ", secret.expose().trim_ascii()].concat();
    let mut bearer = HeaderValue::from_bytes(&bearer).ok()?;
    bearer.set_sensitive(true);
    let request = Request::get(format!("{admin}/healthz")).header(AUTHORIZATION, bearer);
    request.body(Bytes::new()).ok()
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = address(socket)?;
    let datagram = UnixDatagram::unbound()?;
    datagram.set_write_timeout(Some(SENT_WITHIN))?;
    datagram.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes() {
        [b'@', name @ ..] => abstract_address(name),
        [b'/', ..] => SocketAddr::from_pathname(socket),
        // A manager outside a virtual machine has a socket of another family, which this server does not speak.
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier(variables: &[(&str, &str)]) -> Notifier {
        let given = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Notifier::of(&given, 4711)
    }

    #[test]
    fn the_watchdog_counts_if_it_watches_this_process() {
        let watchdog = |variables: &[(&str, &str)]| notifier(variables).watchdog;
        let usual = ("WATCHDOG_USEC", "30000000");
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(watchdog(&[usual]), half_a_minute);
        assert_eq!(watchdog(&[usual, ("WATCHDOG_PID", "4711")]), half_a_minute);
        assert_eq!(watchdog(&[usual, ("WATCHDOG_PID", "1")]), None);
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "soon")]), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_is_a_path_or_a_name_outside_the_file_system() {
        use std::os::linux::net::SocketAddrExt as _;
        let path = address(OsStr::new("/run/systemd/notify")).unwrap();
        assert_eq!(path.as_pathname().unwrap().to_str(), Some("/run/systemd/notify"));
        let name = address(OsStr::new("@notify")).unwrap();
        assert_eq!(name.as_abstract_name(), Some(b"notify".as_slice()));
        for refused in ["notify", "vsock:2:1234", ""] {
            let error = address(OsStr::new(refused)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{refused}");
        }
    }
}
