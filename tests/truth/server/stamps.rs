//! Times at which the kernel received requests and sent answers (`SO_TIMESTAMPING`, in software).
//!
//! They are nanoseconds of the wall clock since 1970. They are exact to a few microseconds even if
//! the server's thread gets its processor late.

use std::io::{self, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, TimestampingFlag, recvmsg, setsockopt, sockopt,
};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Space for the control messages of one call: three times, and an error with an address.
const CONTROL_BYTES: usize = 512;

/// A reader of the kernel's stamps.
#[derive(Debug)]
pub(crate) struct Stamps {
    control: Vec<u8>,
}

impl Stamps {
    pub(crate) fn new() -> Self {
        Self { control: vec![0; CONTROL_BYTES] }
    }

    /// Reads what has arrived. Returns its length, and the time at which the kernel received the
    /// last part.
    ///
    /// # Errors
    /// Returns the error of the connection.
    pub(crate) fn read(
        &mut self,
        stream: &TcpStream,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Option<u64>)> {
        self.receive(stream, buffer, MsgFlags::empty())
    }

    /// Returns the time at which the kernel sent the last answer, if it did so after `since_ns`.
    pub(crate) fn sent(&mut self, stream: &TcpStream, since_ns: u64) -> Option<u64> {
        let mut sent_ns = None;
        while let Ok((_, stamp_ns)) = self.receive(stream, &mut [], MsgFlags::MSG_ERRQUEUE) {
            sent_ns = stamp_ns;
        }
        sent_ns.filter(|sent_ns| *sent_ns >= since_ns)
    }

    fn receive(
        &mut self,
        stream: &TcpStream,
        buffer: &mut [u8],
        flags: MsgFlags,
    ) -> io::Result<(usize, Option<u64>)> {
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = flags | MsgFlags::MSG_DONTWAIT;
        let received =
            recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut self.control), flags)?;
        let stamp_ns = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampsns(stamps) => Some(stamps.system),
            _ => None,
        });
        let stamp_ns = stamp_ns
            .map(|stamp| nanos(Timespec { tv_sec: stamp.tv_sec(), tv_nsec: stamp.tv_nsec() }));
        Ok((received.bytes, stamp_ns))
    }
}

/// Makes the kernel stamp what this connection, or each later connection of this listener, receives
/// and sends.
///
/// The first user of stamps on a machine waits for the kernel to begin, so the first requests may have
/// none.
///
/// # Errors
/// Returns an error if the kernel refuses.
pub(crate) fn enable(socket: &impl AsFd) -> io::Result<()> {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
    Ok(setsockopt(socket, sockopt::Timestamping, &flags)?)
}

/// Returns the wall time, which the stamps are of.
pub(crate) fn wall_ns() -> u64 {
    nanos(clock_gettime(ClockId::Realtime))
}

/// Converts a time since 1970 or since the start of a thread.
pub(crate) fn nanos(time: Timespec) -> u64 {
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000_000_000 + nanos
}
