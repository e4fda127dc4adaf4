//! Metric names and the sources of their values, which are read at each scrape.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::hiccups::{Counted, Hiccups};
use crate::base::clock::process_cpu_ns;
use crate::base::http::{ConnectionLimiter, Count, Responses, Tally};
use crate::base::process::resident_bytes;
use crate::service::broker::Broker;
use crate::service::faults::Faults;

/// Sources of the metrics, besides the counters of the broker.
#[derive(Debug)]
pub(crate) struct MetricSources {
    /// Responses of each worker of the identity endpoint.
    pub workers: Vec<Arc<Responses>>,
    /// Connections of the endpoints.
    pub limiters: Vec<Arc<ConnectionLimiter>>,
    /// Counters of a probe, if there is one.
    pub hiccups: Option<Arc<Hiccups>>,
    /// Faults on purpose.
    pub faults: Arc<Faults>,
}

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) broker: Arc<Broker>,
    pub(super) watched: MetricSources,
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let stats = self.broker.stats();
        let (cache, lanes) = (stats.cache, stats.lanes);
        let (vms, identities) = {
            let world = self.broker.directory().read();
            (world.vm_count(), world.identity_count())
        };
        let counters = [
            ("mintbench_cache_hits", "Answers from held tokens", cache.hits),
            ("mintbench_cache_misses", "Requests that started a mint", stats.misses),
            (
                "mintbench_cache_coalesced",
                "Requests whose mint another caller had started",
                stats.coalesced,
            ),
            ("mintbench_cache_evictions", "Tokens evicted to make room", cache.evictions),
            ("mintbench_mints", "Tokens minted, renewals included", lanes.mints),
            ("mintbench_mint_failures", "Mints that failed", lanes.failures),
            ("mintbench_refused", "Requests that found the mint queue full", stats.refused),
            ("mintbench_refreshes", "Tokens renewed in the background", lanes.refreshes),
        ];
        for (name, help, value) in counters {
            counter(&mut encoder, name, help, value)?;
        }
        let gauges = [
            ("mintbench_cache_entries", "Tokens held", cache.entries),
            ("mintbench_cache_flights", "Keys being minted for waiting callers", cache.flights),
            ("mintbench_mint_queue", "Mints and renewals that wait for a lane", lanes.queued),
            ("mintbench_virtual_machines", "Virtual machines of the world", vms as u64),
            ("mintbench_identities", "Identities of the world", identities as u64),
            (
                "mintbench_store_writable",
                "1 when changes can be stored, 0 when the disk is full or the file is lost",
                u64::from(self.broker.directory().store_health().is_ok()),
            ),
            ("process_resident_memory_bytes", "Resident memory", resident_bytes().unwrap_or(0)),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        seconds(
            &mut encoder,
            "mintbench_mint_seconds",
            "Time spent minting, all lanes together",
            lanes.mint_ns,
        )?;
        seconds(
            &mut encoder,
            "process_cpu_seconds",
            "Processor time of the process",
            process_cpu_ns(),
        )?;
        counter(
            &mut encoder,
            "process_major_faults",
            "Page faults that waited for a disk",
            major_faults().unwrap_or(0),
        )?;
        build(&mut encoder)?;
        if let Some(hiccups) = &self.watched.hiccups {
            lateness(&mut encoder, &hiccups.counted())?;
        }
        self.faults(&mut encoder)?;
        self.connections(&mut encoder)?;
        self.responses(&mut encoder)
    }
}

/// Name, help and count of a connection metric. The first metric is a gauge, the others are counters.
type Shown = (&'static str, &'static str, fn(&Tally) -> &Count);

const CONNECTIONS: [Shown; 5] = [
    ("mintbench_connections", "Connections that are open", |tally| &tally.open),
    ("mintbench_connections_shed", "Connections closed to make room for others", |tally| {
        &tally.shed
    }),
    ("mintbench_connections_refused", "Connections for which no other could be closed", |tally| {
        &tally.refused
    }),
    (
        "mintbench_connections_stalled",
        "Connections ended because their peer took its answer too slowly",
        |tally| &tally.stalled,
    ),
    ("mintbench_answers_refused", "Requests refused as too many answers were unread", |tally| {
        &tally.over_budget
    }),
];

impl Metrics {
    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let limiters = self.watched.limiters.iter();
        let tallies: Vec<Arc<Tally>> =
            limiters.flat_map(|limiter: &Arc<ConnectionLimiter>| limiter.tallies()).collect();
        for (index, (name, help, count)) in CONNECTIONS.into_iter().enumerate() {
            let kind = if index == 0 { MetricType::Gauge } else { MetricType::Counter };
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for tally in &tallies {
                let (labels, value) = ([("surface", tally.surface)], count(tally).get());
                let family = family.encode_family(&labels)?;
                match kind {
                    MetricType::Gauge => {
                        let value = i64::try_from(value).unwrap_or(i64::MAX);
                        ConstGauge::new(value).encode(family)?;
                    }
                    _ => ConstCounter::new(value).encode(family)?,
                }
            }
        }
        Ok(())
    }

    fn faults(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let counts = self.watched.faults.counts();
        let help = "Faults that were injected on purpose";
        let mut family =
            encoder.encode_descriptor("mintbench_faults", help, None, MetricType::Counter)?;
        for (endpoint, kind, count) in counts.injected {
            let labels = [("endpoint", endpoint), ("kind", kind)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let help = "Waits of faults that were left out because too many requests were waiting";
        counter(encoder, "mintbench_faults_left_out", help, counts.left_out)
    }

    fn responses(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Answers of the instance metadata service, all routes";
        let mut family = encoder.encode_descriptor(
            "mintbench_imds_responses",
            help,
            None,
            MetricType::Counter,
        )?;
        for status in Responses::STATUSES {
            let of_worker =
                |worker: &Arc<Responses>| worker.counts().find(|(other, _)| *other == status);
            let count: u64 =
                self.watched.workers.iter().filter_map(of_worker).map(|(_, count)| count).sum();
            let labels = [("status", status.to_string())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    ConstCounter::new(value).encode(encoder.encode_descriptor(
        name,
        help,
        None,
        MetricType::Counter,
    )?)
}

#[expect(clippy::cast_precision_loss, reason = "seconds to a microsecond for 140 years")]
fn seconds(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    ns: u64,
) -> Result<(), Error> {
    let metric = ConstCounter::new(ns as f64 / 1e9);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

/// Writes the build of this server as labels of a constant, because a comparison may involve two builds.
fn build(encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let help = "The build of this server";
    let mut family =
        encoder.encode_descriptor("mintbench_build_info", help, None, MetricType::Gauge)?;
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("commit", env!("MINTBENCH_BUILD_COMMIT")),
        ("dirty", env!("MINTBENCH_BUILD_DIRTY")),
        ("profile", env!("MINTBENCH_BUILD_PROFILE")),
    ];
    ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)
}

fn lateness(encoder: &mut DescriptorEncoder<'_>, counted: &Counted) -> Result<(), Error> {
    let help = "How late a thread that only sleeps was woken";
    let mut metric =
        encoder.encode_descriptor("mintbench_hiccup_seconds", help, None, MetricType::Histogram)?;
    let Counted { buckets, count, sum_seconds } = counted;
    metric.encode_histogram::<NoLabelSet>(*sum_seconds, *count, buckets, None)
}

/// Reads field 12 of `/proc/self/stat` (proc(5)). Field 2, the program's name, may contain blanks.
fn major_faults() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(9)?.parse().ok()
}
