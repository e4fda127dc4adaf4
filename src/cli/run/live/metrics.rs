//! `--metrics`: serves the progress of a run to Prometheus.
//!
//! One thread off the generator's cores serves one connection at a time. A scrape reads the progress,
//! which changes once a second.

use std::fmt::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::text::Header;
use crate::harness::machine::cores::{Cores, keep_off};
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::{IntervalSet, Latencies};
use crate::harness::session::progress::RunProgress;

/// Metrics server, which ends when this value is dropped.
#[derive(Debug)]
pub(super) struct MetricsServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Time between two looks for a new connection, or for the end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Maximum number of looks at a request head, some five seconds. A slower client is no scraper.
const LOOKS_MAX: usize = 100;
/// Maximum size of a request head in bytes, more than any scraper's.
const HEAD_MAX: usize = 16_384;

impl MetricsServer {
    /// Starts a server that listens at `address`.
    pub(super) fn start(
        address: SocketAddr,
        progress: Arc<RunProgress>,
        header: Header,
        cores: Cores,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Metrics { progress, header }));
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            keep_off(&cores);
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    // An error of a scraper affects its own connection only.
                    Ok((stream, _)) => drop(answer(stream, &registry, &stopped)),
                    Err(_) => std::thread::sleep(LOOK_EVERY),
                }
            }
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Returns the address of the server.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request. A slow client does not delay the end of the run.
fn answer(mut stream: TcpStream, registry: &Registry, stopped: &AtomicBool) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    stream.set_write_timeout(Some(LOOK_EVERY))?;
    let mut head = Vec::new();
    let mut looks = 0;
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 2048];
        let count = match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        head.extend_from_slice(piece.get(..count).unwrap_or_default());
        looks += 1;
        if head.len() > HEAD_MAX || looks > LOOKS_MAX || stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
    stream.write_all(reply(&head, registry).as_bytes())
}

fn reply(head: &[u8], registry: &Registry) -> String {
    let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(first);
    let mut words = line.split(' ');
    let (method, path) = (words.next(), words.next().and_then(|path| path.split('?').next()));
    let (status, body) = match (method, path) {
        (Some("GET"), Some("/metrics")) => ("200 OK", text(registry)),
        (Some("GET"), _) => ("404 Not Found", "try /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET is allowed\n".to_owned()),
    };
    let kind = if status.starts_with("200") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, registry);
    text
}

#[derive(Debug)]
struct Metrics {
    progress: Arc<RunProgress>,
    header: Header,
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.run(&mut encoder)?;
        let so_far = self.progress.so_far();
        let mut requests = encoder.encode_descriptor(
            "mintbench_run_requests",
            "Ended requests of the measured part, by status",
            None,
            MetricType::Counter,
        )?;
        for (status, count) in &so_far.statuses {
            let labels = [("status", status.to_string())];
            ConstCounter::new(*count).encode(requests.encode_family(&labels)?)?;
        }
        for (name, help, of) in HISTOGRAMS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            by_class(&mut family, &so_far, of)?;
        }
        Ok(())
    }
}

type Pick = fn(&Latencies) -> &Histogram<u64>;

const HISTOGRAMS: [(&str, &str, Pick); 3] = [
    ("mintbench_run_response_seconds", "From the intended start to the whole answer", |l| {
        &l.response
    }),
    ("mintbench_run_service_seconds", "From the write to the whole answer", |l| &l.service),
    ("mintbench_run_lag_seconds", "From the intended start to the action of the generator", |l| {
        &l.lag
    }),
];

impl Metrics {
    /// Encodes the progress of the run.
    fn run(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let (snapshot, header) = (self.progress.snapshot(), &self.header);
        let seconds = |time: Nanos| time.as_f64() / 1e9;
        let gauges = [
            (
                "mintbench_run_rate_target",
                "Planned requests per second; zero for bursts",
                header.rate.unwrap_or(0.0),
            ),
            ("mintbench_run_length_seconds", "Warm-up and measured part", seconds(header.length)),
            (
                "mintbench_run_warmup_seconds",
                "Load before the measured part",
                seconds(header.warmup),
            ),
            ("mintbench_run_elapsed_seconds", "Load so far", seconds(snapshot.elapsed)),
            (
                "mintbench_run_on_time",
                "1 if the lag of the generator so far is within the rules, else 0",
                f64::from(u8::from(snapshot.on_time)),
            ),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let labels = [("scenario", header.scenario.as_str()), ("target", header.target.as_str())];
        let help = "Scenario and target of the run";
        let mut info =
            encoder.encode_descriptor("mintbench_run_info", help, None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(info.encode_family(&labels)?)
    }
}

fn by_class(family: &mut MetricEncoder<'_>, set: &IntervalSet, of: Pick) -> Result<(), Error> {
    for (class, latencies) in set.seen() {
        let labels = [("class", class.as_str())];
        let (sum, count, buckets) = buckets(of(latencies));
        family
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

/// Returns the upper bounds of the buckets in nanoseconds: seven to a decade, from 10 us to 10 s.
fn bounds() -> Vec<u64> {
    const STEPS: [u64; 7] = [10, 14, 20, 28, 40, 56, 75];
    let decades = (0..6).map(|decade| 1000 * 10_u64.pow(decade));
    let mut bounds: Vec<u64> = decades.flat_map(|scale| STEPS.map(|step| step * scale)).collect();
    bounds.push(10_000_000_000);
    bounds
}

/// Returns the sum in seconds, the count, and the number of values in each bucket alone.
///
/// A value counts as the upper end of its step in the histogram, which is at most 0.1 % off.
#[expect(clippy::cast_precision_loss, reason = "a sum of times needs no 53 bits")]
fn buckets(histogram: &Histogram<u64>) -> (f64, u64, Vec<(f64, u64)>) {
    let bounds = bounds();
    let mut counts = vec![0; bounds.len() + 1];
    let mut sum = 0.0;
    for step in histogram.iter_recorded() {
        let (value, count) = (step.value_iterated_to(), step.count_at_value());
        let place = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = counts.get_mut(place) {
            *bucket += count;
        }
        sum += value as f64 / 1e9 * count as f64;
    }
    let seconds = bounds.iter().map(|bound| *bound as f64 / 1e9).chain([f64::INFINITY]);
    (sum, histogram.len(), seconds.zip(counts).collect())
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::header;
    use super::*;
    use crate::harness::record::intervals::histogram;

    #[test]
    fn bounds_ascend_and_every_value_has_its_bucket() {
        assert!(bounds().is_sorted());
        let mut latencies = histogram();
        for value in [1, 9_000, 10_001, 1_000_000, 60_000_000_000] {
            latencies.record(value).unwrap();
        }
        let (sum, count, buckets) = buckets(&latencies);
        assert_eq!((count, buckets.iter().map(|(_, count)| count).sum()), (5, 5));
        assert!((sum - 60.001_020).abs() < 0.1, "{sum}");
        assert_eq!(buckets[0], (1e-5, 2));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
    }

    #[test]
    fn only_get_of_metrics_is_answered() {
        let mut registry = Registry::default();
        let progress = Arc::new(RunProgress::default());
        registry.register_collector(Box::new(Metrics { progress, header: header() }));
        let status = |head: &str| reply(head.as_bytes(), &registry)[9..12].to_owned();
        assert_eq!(status("GET /metrics HTTP/1.1\r\n\r\n"), "200");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404");
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405");
        assert_eq!(status("nonsense\r\n\r\n"), "405");
        let body = reply(b"GET /metrics HTTP/1.1\r\n\r\n", &registry);
        assert!(body.contains("mintbench_run_rate_target 5000.0\n"), "{body}");
        assert!(body.contains("mintbench_run_info{scenario=\"steady\""), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }
}
