//! Shortest round trip that this machine can make, and its variation between equal stretches.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::examined::Pair;
use crate::base::clock::Monotonic;
use crate::harness::machine::cores::{Cores, settle_thread};
use crate::harness::record::intervals::histogram;

/// Measured round trips.
pub(crate) struct Trips {
    pub(crate) round_trip: Histogram<u64>,
    pub(crate) alternate: Vec<Pair>,
}

/// Stretches of alternate round trips. Each pair takes two, in the order A B B A.
const STRETCHES: u32 = 32;
const MESSAGE: usize = 64;
/// Timeout for an answer of the peer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends 64 bytes to a thread that sends them back, again and again for `span`.
pub(crate) fn trips(cores: &Cores, span: Duration) -> io::Result<Trips> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    let (peer, _) = listener.accept()?;
    let (echo_core, own_core) = (cores.broker, cores.of_thread(0));
    let echo = std::thread::spawn(move || {
        settle_thread(echo_core);
        echo(peer)
    });
    // A separate thread, because the calling thread must not stay pinned.
    let asking = std::thread::spawn(move || {
        settle_thread(own_core);
        ask(&mut stream, span)
    });
    let asked = asking.join().map_err(|_| io::Error::other("the probe died"))?;
    // The stream is closed now, which ends the other side.
    let _ = echo.join();
    asked
}

fn echo(mut peer: TcpStream) -> io::Result<()> {
    peer.set_nodelay(true)?;
    let mut message = [0; MESSAGE];
    loop {
        peer.read_exact(&mut message)?;
        peer.write_all(&message)?;
    }
}

fn ask(stream: &mut TcpStream, span: Duration) -> io::Result<Trips> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let clock = Monotonic::start();
    let (mut round_trip, mut medians) = (histogram(), Vec::new());
    for stretch in 1..=STRETCHES {
        let mut own = histogram();
        let end_ns = (span * stretch / STRETCHES).as_nanos();
        while own.is_empty() || u128::from(clock.now_ns()) < end_ns {
            own.saturating_record(one_trip(stream, clock)?);
        }
        // All histograms have equal bounds, so adding cannot fail.
        let _ = round_trip.add(&own);
        medians.push(own.value_at_quantile(0.5));
    }
    Ok(Trips { round_trip, alternate: pairs(&medians) })
}

/// Measures one round trip in nanoseconds. It spins, as the generator does.
fn one_trip(stream: &mut TcpStream, clock: Monotonic) -> io::Result<u64> {
    let (mut message, start_ns) = ([0; MESSAGE], clock.now_ns());
    stream.write_all(&message)?;
    let mut got = 0;
    while got < MESSAGE {
        match stream.read(message.get_mut(got..).unwrap_or_default()) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => got += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if u128::from(clock.now_ns() - start_ns) > TIMEOUT.as_nanos() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Ok(clock.now_ns() - start_ns)
}

/// Pairs medians in the order A B B A, so that a steady drift cancels out over two pairs.
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
fn pairs(medians: &[u64]) -> Vec<Pair> {
    let fours = medians.chunks_exact(4).filter_map(|four| <[u64; 4]>::try_from(four).ok());
    let pairs = fours.flat_map(|[a, b, later_b, later_a]| [(a, b), (later_a, later_b)]);
    pairs.map(|(a, b)| Pair(a as f64, b as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_taken_in_the_order_that_cancels_a_drift() {
        let pairs = pairs(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(pairs, [Pair(1.0, 2.0), Pair(4.0, 3.0), Pair(5.0, 6.0), Pair(8.0, 7.0)]);
    }

    #[test]
    fn round_trips_are_counted_and_paired() {
        let cores = Cores { broker: None, generator: Vec::new() };
        let trips = trips(&cores, Duration::from_millis(50)).unwrap();
        assert_eq!(trips.alternate.len(), 16);
        assert!(trips.round_trip.len() >= 32 && trips.round_trip.min() > 0);
    }
}
