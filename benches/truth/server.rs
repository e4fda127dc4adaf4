//! A server whose delays follow a known law, to check load generators.
//!
//! It prints its address, then `ready`. `GET /stats` returns the server's own record of the times
//! of its answers. `GET /forget/MS` leaves the first `MS` milliseconds of a load out of the record.
//! On SIGTERM the server writes the record to standard output, as one line of JSON, and with `--rows`
//! a row for each request to a file. `benches/truth/run.sh`, `benches/generator/run.sh` and
//! `benches/verdicts/run.sh` use it.

#[path = "../../tests/truth/server/mod.rs"]
mod server;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{Law, Options, Record, Service, Stalling, Stop};
use tokio::signal::unix::{SignalKind, signal};

/// Answer every request after a time that follows a law.
#[derive(Debug, Parser)]
struct Truth {
    /// `floor`, `constant:TIME`, `exponential:MEAN:CAP`, `two-modes:SHARE:TIME:TIME` (the share of the
    /// first) or `stall:TIME:STALL:PERIOD[:GAP:RATE]` (nothing is answered for STALL in every PERIOD; GAP
    /// is the least time between two answers, and RATE what comes per second, which the law depends on then)
    law: Law,
    /// Serve so many requests at a time, in the order in which they arrived; the law is of the time of service
    /// [default: all at once]
    #[arg(long, value_name = "N")]
    servers: Option<NonZeroUsize>,
    /// Serve one request at a time, in the order in which they arrived, and work for the time of the law instead of
    /// waiting for it
    #[arg(long, conflicts_with = "servers")]
    busy: bool,
    /// Stand still for LENGTH in each PERIOD, at a random time: asleep, or with `:busy` at work
    #[arg(long, value_name = "LENGTH:PERIOD[:busy]")]
    stall: Option<Stalling>,
    /// A file for a row of each request, in nanoseconds: the wall times at which the kernel received it and sent the
    /// answer, and the time of its service. Then 1 if both are the kernel's stamps, and 1 if it met a stall of --stall
    #[arg(long, value_name = "CSV")]
    rows: Option<PathBuf>,
    /// File with a row for each time over 200 us in which the host or another program had the server's processor. A row
    /// has its end (wall time) and its length, in nanoseconds. Needs --spin
    #[arg(long, value_name = "CSV", requires = "spin", conflicts_with = "stall")]
    gaps: Option<PathBuf>,
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// The processor that the server's thread is pinned to
    #[arg(long)]
    cpu: Option<usize>,
    /// Ask for requests again and again instead of sleeping: the processor is the server's own
    #[arg(long)]
    spin: bool,
    /// Wake so many microseconds before an answer is due, and spin the rest
    #[arg(long, default_value_t = 80, conflicts_with = "spin")]
    early_us: u64,
    /// Bytes of the body of each answer
    #[arg(long, default_value_t = 2)]
    body_bytes: usize,
    /// Everything random is derived from this
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print what the law says of percentiles, in microseconds, and end
    #[arg(long)]
    print_law: bool,
}

fn main() -> anyhow::Result<()> {
    let truth = Truth::parse();
    if truth.print_law {
        return print_law(&truth.law);
    }
    let listener = TcpListener::bind(truth.addr)
        .with_context(|| format!("cannot listen on {}", truth.addr))?;
    let (record, stop) = (Record::new(), Stop::new()?);
    stop_on_signals(stop.clone());
    // Each request of a stall needs a connection, which is more than the usual limit of open files.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let mut out = std::io::stdout().lock();
    // The socket already queues connections, so a client may connect before the first accept.
    writeln!(out, "truth http://{}\nready", listener.local_addr()?)?;
    out.flush()?;
    // Pins this thread only after the thread of signals was started, which is not pinned.
    truth.cpu.map_or(Ok(()), pin)?;
    server::serve(listener, truth.options(), record.clone(), stop)?;
    if let Some(path) = &truth.rows {
        write_rows(path, &record).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &truth.gaps {
        write_gaps(path, &record).with_context(|| format!("cannot write {}", path.display()))?;
    }
    writeln!(out, "{}", record.to_json())?;
    Ok(())
}

impl Truth {
    fn options(&self) -> Options {
        let service = match self.servers {
            Some(servers) => Service::Asleep(servers),
            None if self.busy => Service::Busy,
            None => Service::Unlimited,
        };
        Options {
            law: self.law,
            service,
            stalling: self.stall,
            stamped: self.rows.is_some(),
            seed: self.seed,
            body_bytes: self.body_bytes,
            early_ns: (!self.spin).then_some(self.early_us * 1000),
        }
    }
}

fn write_rows(path: &Path, record: &Record) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "received_ns,sent_ns,service_ns,stamped,stalled")?;
    for row in record.rows() {
        let (received_ns, sent_ns, service_ns) = (row.received_ns, row.sent_ns, row.service_ns);
        let [stamped, stalled] = [row.stamped, row.stalled].map(u8::from);
        writeln!(file, "{received_ns},{sent_ns},{service_ns},{stamped},{stalled}")?;
    }
    file.flush()
}

fn write_gaps(path: &Path, record: &Record) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "end_ns,length_ns")?;
    for gap in record.gaps() {
        writeln!(file, "{},{}", gap.end_ns, gap.length_ns)?;
    }
    file.flush()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 ns")]
fn print_law(law: &Law) -> anyhow::Result<()> {
    let us = |p| law.quantile_ns(p) as f64 / 1e3;
    let law = serde_json::json!({
        "p50": us(0.5), "p90": us(0.9), "p99": us(0.99), "p999": us(0.999),
    });
    writeln!(std::io::stdout().lock(), "{law}")?;
    Ok(())
}

/// Ends the server on SIGTERM and SIGINT, from a thread of its own.
fn stop_on_signals(stop: Stop) {
    std::thread::spawn(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.request();
            anyhow::Ok(())
        })
    });
}

fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        bail!("there is no processor {cpu}");
    }
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("cannot run on processor {cpu}"))
}
