//! Findings about a machine: a pure function of the measurements.

use std::fmt;

use hdrhistogram::Histogram;

use super::examined::{Examined, Pair};
use crate::base::clock::readable;
use crate::harness::document::doctor::{Finding, Level};
use crate::harness::judge::validity::limits::{LAG_FLOOR, STEAL_MAX, THROTTLED_MAX};
use crate::harness::judge::validity::{Reason, Usable, strained};
use crate::harness::nanos::Nanos;
use crate::harness::stats::smallest_effect::smallest_effect;

impl Level {
    /// Returns the level for these usable percentiles.
    pub(crate) const fn of(usable: Usable) -> Self {
        match usable {
            Usable::Nothing => Self::Hopeless,
            Usable::P50 | Usable::P90 => Self::Warn,
            Usable::All => Self::Ok,
        }
    }

    /// Returns the level as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Hopeless => "HOPELESS",
        }
    }
}

impl Finding {
    pub(crate) fn ok(name: &str, says: impl Into<String>) -> Self {
        Self { name: name.to_owned(), level: Level::Ok, says: says.into(), advice: None }
    }

    pub(crate) fn of(name: &str, level: Level, says: impl Into<String>, advice: &str) -> Self {
        Self { name: name.to_owned(), level, says: says.into(), advice: Some(advice.to_owned()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9} {:12} {}", self.level.as_str(), self.name, self.says)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// p99 wake-up delay in nanoseconds above which every tail of a server shows the delay.
const SLEEP_WARN_NS: u64 = 1_000_000;
/// Share of a core that other programs may take without a warning.
const INTERRUPTIONS_WARN: f64 = 0.01;
/// Open files for the connections of a usual run, with room to spare.
const FILES_WANTED: u64 = 2_048;
const PORTS_WANTED: u64 = 10_000;
const BACKLOG_WANTED: u64 = 1_000;
/// Bytes for the broker, the generator and the histograms of a usual run.
const MEMORY_WANTED: u64 = 1 << 30;
/// Pairs of legs in a one-minute gate.
const GATE_PAIRS: u32 = 10;
/// Smallest visible effect above which a gate misses the changes that people look for.
const EFFECT_WARN: f64 = 0.05;

impl Examined {
    /// Returns the reasons that would have made a run at the time of this examination invalid.
    pub fn reasons(&self) -> Vec<Reason> {
        strained(&self.strain, self.span)
    }

    /// Returns all findings, one for each subject.
    pub fn findings(&self) -> Vec<Finding> {
        vec![
            self.cores(),
            self.quota(),
            self.pacer(),
            self.sleep(),
            self.interruptions(),
            self.steal(),
            self.load(),
            self.governor(),
            self.turbo(),
            self.idle_states(),
            self.smt(),
            self.clock_source(),
            self.round_trip(),
            self.effect(),
            self.files(),
            self.ports(),
            self.backlog(),
            self.memory(),
        ]
    }

    fn cores(&self) -> Finding {
        let (cores, nodes) = (self.host.cores, self.settings.numa_nodes.unwrap_or(1));
        let model = &self.host.cpu_model;
        match self.cores.broker {
            None => Finding::of(
                "cores",
                Level::Warn,
                format!("{cores} of {model}: broker and generator share it and disturb each other"),
                "use a machine with at least 2 cores",
            ),
            Some(broker) if self.cores.generator.len() == 1 => Finding::of(
                "cores",
                Level::Note,
                format!(
                    "{cores} of {model}, {nodes} memory node(s): run gives core {broker} to the broker and 1 to the generator, and nothing is left for the rest of the system"
                ),
                "4 cores or more leave room",
            ),
            Some(broker) => Finding::ok(
                "cores",
                format!(
                    "{cores} of {model}, {nodes} memory node(s): run gives core {broker} to the broker and {} to the generator",
                    self.cores.generator.len()
                ),
            ),
        }
    }

    fn quota(&self) -> Finding {
        #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
        let cores = self.host.cores as f64;
        let share = self.strain.throttled_share;
        match self.settings.quota_cores {
            None => Finding::ok("quota", "the control group has no CPU quota"),
            Some(quota) if share > THROTTLED_MAX => Finding::of(
                "quota",
                stalled(share),
                format!(
                    "the control group may use {quota:.1} cores and was stopped for {:.2} % of this examination",
                    share * 100.0
                ),
                "raise the quota (cpu.max), or measure outside of the container",
            ),
            Some(quota) if quota < cores => Finding::of(
                "quota",
                Level::Warn,
                format!(
                    "the control group may use {quota:.1} of {cores:.0} cores; a generator that spins uses its cores up and is then stopped for tens of milliseconds"
                ),
                "raise the quota (cpu.max), or measure outside of the container",
            ),
            Some(quota) => Finding::ok("quota", format!("{quota:.1} cores, as many as there are")),
        }
    }

    fn pacer(&self) -> Finding {
        let p99 = Nanos::at_quantile(&self.pacer, 0.99);
        let says = format!(
            "without load the pacing loop is late by {}; a target can be measured if its median is at least {}",
            quantiles(&self.pacer),
            readable((p99 * 10).as_u64())
        );
        let stop = "stop what else runs on this machine, or use one that is not shared";
        if self.pacer.is_empty() {
            Finding::of("pacer", Level::Warn, "the pacing loop had no time to run", stop)
        } else if p99 > LAG_FLOOR {
            Finding::of("pacer", Level::Warn, says, stop)
        } else {
            Finding::ok("pacer", says)
        }
    }

    fn sleep(&self) -> Finding {
        let says = format!(
            "a sleeping thread wakes late by {}: an idle server on this machine notices a request this much later",
            quantiles(&self.sleep)
        );
        if self.sleep.value_at_quantile(0.99) > SLEEP_WARN_NS {
            let advice = "stop what else runs on this machine";
            Finding::of("sleep", Level::Warn, says, advice)
        } else {
            Finding::ok("sleep", says)
        }
    }

    fn interruptions(&self) -> Finding {
        let stolen = self.stolen;
        let says = format!(
            "core {} lost {:.2} % of its time to interruptions of more than 10 us, {} the longest",
            stolen.core,
            stolen.share * 100.0,
            readable(stolen.longest.as_u64())
        );
        if stolen.share > INTERRUPTIONS_WARN {
            let advice = "stop what else runs here, or use a machine that is not shared";
            Finding::of("interruptions", Level::Warn, says, advice)
        } else {
            Finding::ok("interruptions", says)
        }
    }

    fn steal(&self) -> Finding {
        let share = self.strain.steal_share;
        let says = format!("the hypervisor took {:.2} % of the machine's time", share * 100.0);
        let advice = "measure on another machine, or at another time";
        if share > STEAL_MAX {
            Finding::of("steal", stalled(share), says, advice)
        } else {
            Finding::ok("steal", says)
        }
    }

    fn load(&self) -> Finding {
        match self.load_average {
            None => Finding::of(
                "load",
                Level::Note,
                "the system does not tell its load average",
                "look for other programs yourself",
            ),
            Some(load) if load > 0.5 => Finding::of(
                "load",
                Level::Warn,
                format!("over the last minute {load:.1} programs wanted to run"),
                "stop them, or wait until they are done",
            ),
            Some(load) => Finding::ok("load", format!("load average {load:.2}")),
        }
    }

    fn governor(&self) -> Finding {
        match self.host.governor.as_str() {
            "performance" => Finding::ok("governor", "performance"),
            "unknown" => Finding::of(
                "governor",
                Level::Note,
                "the system does not tell how it sets the clock frequency (usual on a virtual machine)",
                "compare builds in interleaved pairs (gate), not one after the other",
            ),
            other => Finding::of(
                "governor",
                Level::Warn,
                format!("{other}: the clock frequency follows the load"),
                "set it with `cpupower frequency-set -g performance`",
            ),
        }
    }

    fn turbo(&self) -> Finding {
        match self.settings.turbo {
            Some(false) => Finding::ok("turbo", "off: the clock frequency does not depend on heat"),
            Some(true) => Finding::of(
                "turbo",
                Level::Note,
                "on: the clock frequency depends on heat and on what other cores do",
                "for steadier figures write 1 to /sys/devices/system/cpu/intel_pstate/no_turbo, or 0 to /sys/devices/system/cpu/cpufreq/boost",
            ),
            None => Finding::ok("turbo", "the system does not tell"),
        }
    }

    fn idle_states(&self) -> Finding {
        let states = &self.settings.idle_states;
        // The first state polls and the second halts; a core leaves both quickly.
        if states.len() > 2 {
            return Finding::of(
                "idle states",
                Level::Note,
                format!(
                    "{}: a core that sleeps deeply takes up to 100 us to wake",
                    states.join(", ")
                ),
                "`cpupower idle-set -D 10` keeps to those that are left within 10 us",
            );
        }
        if states.is_empty() {
            return Finding::ok("idle states", "the system does not tell");
        }
        Finding::ok("idle states", states.join(", "))
    }

    fn smt(&self) -> Finding {
        match self.settings.smt {
            Some(true) => Finding::of(
                "smt",
                Level::Note,
                "two hardware threads share a core: broker and generator may slow each other down",
                "write off to /sys/devices/system/cpu/smt/control",
            ),
            Some(false) => Finding::ok("smt", "each core runs one thread"),
            None => Finding::ok("smt", "the system does not tell"),
        }
    }

    fn clock_source(&self) -> Finding {
        match self.settings.clock_source.as_deref() {
            Some("hpet" | "acpi_pm" | "jiffies") => Finding::of(
                "clock",
                Level::Warn,
                format!(
                    "time is read from {}, which takes a microsecond or more",
                    self.settings.clock_source.as_deref().unwrap_or_default()
                ),
                "boot with clocksource=tsc",
            ),
            Some(source) => Finding::ok("clock", format!("time is read from {source}")),
            None => Finding::ok("clock", "the system does not tell what it reads time from"),
        }
    }

    fn round_trip(&self) -> Finding {
        Finding::ok(
            "loopback",
            format!(
                "64 bytes there and back take {}: no answer on this machine comes sooner",
                quantiles(&self.round_trip)
            ),
        )
    }

    fn effect(&self) -> Finding {
        effect("gate", &self.alternate, "the median of round trips, in short stretches")
    }

    fn files(&self) -> Finding {
        let limit = self.file_limit;
        if limit < FILES_WANTED {
            let says = format!("a process may have {limit} open files, which limits --connections");
            return Finding::of("files", Level::Warn, says, "raise the hard limit (`ulimit -Hn`)");
        }
        Finding::ok("files", format!("a process may have {limit} open files"))
    }

    fn ports(&self) -> Finding {
        match self.settings.ports() {
            None => Finding::ok("ports", "the system does not tell its port range"),
            Some(ports) if ports < PORTS_WANTED => Finding::of(
                "ports",
                Level::Warn,
                format!("{ports} ports for connections from one address"),
                "widen net.ipv4.ip_local_port_range",
            ),
            Some(ports) => {
                Finding::ok("ports", format!("{ports} ports for connections from one address"))
            }
        }
    }

    fn backlog(&self) -> Finding {
        match self.settings.somaxconn {
            None => {
                Finding::ok("backlog", "the system does not tell how many connections may wait")
            }
            Some(limit) if limit < BACKLOG_WANTED => Finding::of(
                "backlog",
                Level::Warn,
                format!(
                    "{limit} connections may wait to be accepted; more are tried again after a second"
                ),
                "raise net.core.somaxconn",
            ),
            Some(limit) => {
                Finding::ok("backlog", format!("{limit} connections may wait to be accepted"))
            }
        }
    }

    fn memory(&self) -> Finding {
        match self.memory_available {
            None => Finding::ok("memory", "the system does not tell how much memory is free"),
            Some(bytes) if bytes < MEMORY_WANTED => Finding::of(
                "memory",
                Level::Warn,
                format!("{} MB can be used without swapping", bytes >> 20),
                "free some, or lower --vms and --connections",
            ),
            Some(bytes) => {
                Finding::ok("memory", format!("{} MB can be used without swapping", bytes >> 20))
            }
        }
    }
}

/// Returns the level for a share of time in which the machine stood still, by the rule for runs.
fn stalled(share: f64) -> Level {
    Level::of(Usable::with_stalls(share))
}

/// Finds the smallest change that a one-minute gate would see, from pairs that do not differ.
pub fn effect(name: &str, pairs: &[Pair], of: &str) -> Finding {
    let differences: Vec<f64> = pairs
        .iter()
        .filter(|Pair(a, b)| *a > 0.0 && *b > 0.0)
        .map(|Pair(a, b)| (b / a).ln())
        .collect();
    let advice = "more pairs see smaller changes: four times as many see half of it";
    match smallest_effect(&differences, GATE_PAIRS) {
        None => Finding::of(name, Level::Note, format!("too few pairs of {of}"), advice),
        Some(effect) => {
            let says = format!(
                "a gate of 60 s ({GATE_PAIRS} pairs) would see a change of {:.1} % or more in {of}, going by {} pairs without one",
                effect * 100.0,
                differences.len()
            );
            if effect > EFFECT_WARN {
                Finding::of(name, Level::Warn, says, advice)
            } else {
                Finding::ok(name, says)
            }
        }
    }
}

fn quantiles(histogram: &Histogram<u64>) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| readable(histogram.value_at_quantile(q)));
    format!("{p50} at the p50, {p99} at the p99, {p999} at the p99.9")
}
