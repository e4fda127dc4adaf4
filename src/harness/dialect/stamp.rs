//! Stamps of the kernel on received data: the wall time at which the last of it arrived.

use std::io::{self, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::sockopt::Timestamping;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, TimestampingFlag, Timestamps, recvmsg, setsockopt,
};
use nix::sys::time::TimeSpec;

use crate::harness::nanos::Nanos;

/// Data that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Number of bytes.
    pub(crate) count: usize,
    /// Arrival of the last of them, in nanoseconds since 1970; `None` if the kernel did not say.
    pub(crate) stamp: Option<Nanos>,
}

/// Reader of a socket's stamps.
#[derive(Debug)]
pub(super) struct Stamped {
    /// Buffer for the message of the kernel.
    control: Vec<u8>,
}

impl Stamped {
    /// Lets the kernel stamp what the socket receives from now on; `None` if it does not.
    pub(super) fn on(socket: &TcpStream) -> Option<Self> {
        let flags = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
        setsockopt(socket, Timestamping, &flags).ok()?;
        Some(Self { control: cmsg_space!(Timestamps) })
    }

    /// Reads the available bytes.
    ///
    /// # Errors
    /// Returns the error of the socket.
    pub(super) fn read(&mut self, socket: &TcpStream, out: &mut [u8]) -> io::Result<Received> {
        let mut pieces = [IoSliceMut::new(out)];
        let control = Some(&mut *self.control);
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut pieces, control, MsgFlags::empty())?;
        let stamp = message.cmsgs().ok().and_then(|mut messages| messages.find_map(|m| wall(&m)));
        Ok(Received { count: message.bytes, stamp })
    }
}

/// Returns the software stamp in a message of the kernel.
fn wall(message: &ControlMessageOwned) -> Option<Nanos> {
    match message {
        ControlMessageOwned::ScmTimestampsns(stamps) => nanos(stamps.system),
        _ => None,
    }
}

/// Converts a stamp. A message without a software stamp holds zero.
fn nanos(stamp: TimeSpec) -> Option<Nanos> {
    let [seconds, nanos] =
        [stamp.tv_sec(), stamp.tv_nsec()].map(|part| u64::try_from(part).unwrap_or(0));
    let stamp = Nanos::from_secs(seconds).saturating_add(Nanos::new(nanos));
    (!stamp.is_zero()).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Monotonic;
    use std::io::{ErrorKind, Write};
    use std::net::TcpListener;

    #[test]
    fn the_stamp_is_of_the_arrival_and_not_of_the_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut sender, _) = listener.accept().unwrap();
        let mut stamped = Stamped::on(&socket).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut out = [0; 100];
        let nothing = stamped.read(&socket, &mut out).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);

        let clock = Monotonic::start();
        socket.set_nonblocking(false).unwrap();
        // The kernel begins to stamp a moment after it was asked to.
        let stamp = loop {
            let distance = clock.wall_distance_ns();
            let begun = clock.now_ns();
            sender.write_all(b"hello").unwrap();
            // On loopback the data arrives while it is sent.
            let sent = clock.now_ns();
            let read = stamped.read(&socket, &mut out).unwrap();
            assert_eq!(&out[..read.count], b"hello");
            match read.stamp {
                Some(stamp) => break (begun, stamp.as_u64(), sent, distance),
                None => assert!(begun < 10_000_000_000, "no stamp within 10 s"),
            }
        };
        let (begun, stamp, sent, distance) = stamp;
        assert!(begun <= stamp - distance.start(), "{begun} {stamp} {distance:?}");
        assert!(stamp - distance.end() <= sent, "{sent} {stamp} {distance:?}");
        drop(sender);
        let end = stamped.read(&socket, &mut out).unwrap();
        assert_eq!((end.count, end.stamp), (0, None));
    }
}
