//! The harness against servers whose delays follow a known law.
//!
//! The assertions also hold on a busy machine. Noise only adds to measured times, so upper bounds
//! are asserted only for runs that are valid by their own rules. `benches/truth/run.sh` shows how
//! close the figures come on a quiet machine.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "times are positive and far below 2^53 ns, counts are small"
)]

mod coverage;
mod find_max;
mod logs;
mod queue;
mod server;

use std::net::TcpListener;
use std::process::Command;
use std::thread::JoinHandle;

use hdrhistogram::Histogram;
use serde_json::Value;
use server::{Law, Options, Record, Service, Stop};

/// A server on its own thread.
struct Served {
    target: String,
    record: Record,
    stop: Stop,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    fn start(law: Law) -> Self {
        Self::start_queue(law, Service::Unlimited)
    }

    fn start_queue(law: Law, service: Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("get+http://{}", listener.local_addr().unwrap());
        let (record, stop) = (Record::new(), Stop::new().unwrap());
        let options = Options {
            law,
            service,
            stalling: None,
            stamped: false,
            seed: 1,
            body_bytes: 2,
            early_ns: Some(80_000),
        };
        let (its_record, its_stop) = (record.clone(), stop.clone());
        let thread =
            std::thread::spawn(move || server::serve(listener, options, its_record, its_stop));
        Self { target, record, stop, thread }
    }

    /// Ends the server and returns its record.
    fn end(self) -> Record {
        self.stop.request();
        self.thread.join().unwrap().unwrap();
        self.record
    }
}

/// The report of a run, and the known facts about its server.
struct Compared {
    law: Law,
    record: Record,
    response: Histogram<u64>,
    json: Value,
}

/// Runs against a server of this law, with 500 random requests per second over 128 connections.
fn against(law: &str, duration: &str) -> Compared {
    let law: Law = law.parse().unwrap();
    let served = Served::start(law);
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mintbench"))
        .args(["run", "--target", &served.target, "--rate=500", "--warmup=0s", "--threads=1"])
        .args([
            "--pacer-test=0s",
            "--connections=128",
            "--strict",
            "--json",
            "--duration",
            duration,
            "--out",
        ])
        .arg(folder.path())
        .output()
        .unwrap();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4)), "{code:?}: {}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let response = logs::merged(&folder.path().join("response.hlog"));
    Compared { law, record: served.end(), response, json }
}

impl Compared {
    fn reported_ns(&self, p: f64) -> u64 {
        self.response.value_at_quantile(p)
    }

    /// Asserts what holds for every law on any machine.
    fn agrees(self) -> Self {
        let count = self.json["classes"]["all"]["count"].as_u64().unwrap();
        assert!(count > 500, "{}", self.json);
        assert_eq!(self.json["load"]["scheduled"], count);
        assert_eq!(self.json["statuses"]["200"], count);
        assert_eq!(self.record.count(), count, "the server answered another number");
        assert_eq!(self.response.len(), count, "the log holds another number");
        let (reported_ns, recorded_ns) = (self.reported_ns(0.5), self.record.quantile_ns(0.5));
        // A histogram is exact to 0.1 %.
        assert!(reported_ns * 1002 / 1000 >= self.law.quantile_ns(0.5), "{reported_ns}");
        assert!(reported_ns * 1002 / 1000 >= recorded_ns, "{reported_ns} of {recorded_ns}");
        self
    }

    /// Asserts that a valid run reports percentiles close to those of the server.
    fn agrees_closely_if_valid(self) -> Self {
        if self.is_valid() {
            let service_us = self.json["classes"]["all"]["service_us"]["p50"].as_f64().unwrap();
            let recorded_us = self.record.quantile_ns(0.5) as f64 / 1e3;
            assert!(service_us < recorded_us * 1.5 + 500.0, "{service_us} of {recorded_us}");
        }
        self
    }

    fn is_valid(&self) -> bool {
        self.json["validity"]["valid"] == true
    }

    /// Asserts that the share of requests above `limit_ns`, by the log, lies between these bounds.
    fn has_weight(&self, limit_ns: u64, low: f64, high: f64) {
        let share = self.share_above(limit_ns);
        assert!(share >= low, "{share} is below {low}: {}", self.json["classes"]);
        assert!(
            !self.is_valid() || share <= high,
            "{share} is above {high}: {}",
            self.json["classes"]
        );
    }

    fn share_above(&self, limit_ns: u64) -> f64 {
        1.0 - self.response.quantile_below(limit_ns)
    }
}

const MS: u64 = 1_000_000;

#[test]
fn a_constant_delay_is_reported() {
    let run = against("constant:2ms", "2s").agrees().agrees_closely_if_valid();
    assert!(run.share_above(2 * MS * 998 / 1000) > 0.9999, "an answer came before its time");
}

#[test]
fn exponential_delays_keep_their_shape() {
    let run = against("exponential:4ms:200ms", "3s").agrees().agrees_closely_if_valid();
    // 13.5 % take more than twice the mean; 1500 draws typically deviate by 0.9 %.
    run.has_weight(8 * MS, 0.09, 0.18);
    let recorded = run.record.share_above(8 * MS);
    assert!(run.share_above(8 * MS) >= recorded - 0.002, "the server says {recorded}");
}

#[test]
fn both_modes_show_at_their_weights() {
    let run = against("two-modes:0.8:1ms:40ms", "3s").agrees().agrees_closely_if_valid();
    // 1500 draws typically deviate by 1.0 %.
    run.has_weight(39 * MS, 0.15, 0.25);
    assert!(run.reported_ns(0.9) >= 40 * MS * 998 / 1000);
}

#[test]
fn a_stall_of_a_tenth_of_the_time_delays_a_tenth_of_the_requests() {
    let run = against("stall:500us:100ms:1s", "4s").agrees().agrees_closely_if_valid();
    // A request due in the first half of a stall waits for more than 50 ms: one in twenty, with a
    // typical deviation of 0.5 % for 2000 requests. A closed loop would send nothing meanwhile.
    run.has_weight(50 * MS, 0.03, 0.08);
    run.has_weight(5 * MS, 0.07, 0.13);
    assert!(run.reported_ns(0.99) >= 80 * MS, "{}", run.json["classes"]);
}
