//! Settings of a machine that affect the measurements, for the record and for `doctor`.
//!
//! They are not part of the fingerprint. Most of them may change with a boot or with the container,
//! and a stored baseline would be refused after such a change.

use std::fs::{read_dir, read_to_string};
use std::path::Path;

use super::cgroup::Cgroup;

/// Settings of a machine; `None` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSettings {
    /// True if two hardware threads share a core.
    pub smt: Option<bool>,
    /// True if the clock frequency may rise above the nominal one.
    pub turbo: Option<bool>,
    /// Idle states that the first core may enter, the lightest first; empty when unknown.
    pub idle_states: Vec<String>,
    /// Number of memory nodes.
    pub numa_nodes: Option<usize>,
    /// Number of cores that the control group may use.
    pub quota_cores: Option<f64>,
    /// Clock source of the kernel.
    pub clock_source: Option<String>,
    /// Preemption model of the kernel.
    pub preemption: Option<String>,
    /// True if the machine runs on a hypervisor.
    pub virtualised: Option<bool>,
    /// Maximum number of connections that wait to be accepted.
    pub somaxconn: Option<u64>,
    /// First and last port that the system chooses itself.
    pub port_range: Option<[u64; 2]>,
}

impl HostSettings {
    /// Reads the settings from `/proc` and `/sys`.
    pub fn read() -> Self {
        Self { quota_cores: Cgroup::of_self().quota_cores(), ..Self::below(Path::new("/")) }
    }

    fn below(root: &Path) -> Self {
        let text = |path: &str| -> Option<String> {
            Some(read_to_string(root.join(path)).ok()?.trim().to_owned())
        };
        let flag = |path: &str| text(path).map(|value| value == "1");
        let no_turbo = flag("sys/devices/system/cpu/intel_pstate/no_turbo");
        let boost = || flag("sys/devices/system/cpu/cpufreq/boost");
        let cpuinfo = text("proc/cpuinfo");
        Self {
            smt: flag("sys/devices/system/cpu/smt/active"),
            turbo: no_turbo.map(|off| !off).or_else(boost),
            idle_states: idle_states(&root.join("sys/devices/system/cpu/cpu0/cpuidle")),
            numa_nodes: text("sys/devices/system/node/online").and_then(|list| list_length(&list)),
            quota_cores: None,
            clock_source: text("sys/devices/system/clocksource/clocksource0/current_clocksource"),
            preemption: text("sys/kernel/debug/sched/preempt")
                .and_then(|text| bracketed(&text))
                .or_else(|| text("proc/version").and_then(|version| built_preemption(&version))),
            virtualised: cpuinfo.and_then(|text| has_hypervisor(&text)),
            somaxconn: text("proc/sys/net/core/somaxconn").and_then(|n| n.parse().ok()),
            port_range: text("proc/sys/net/ipv4/ip_local_port_range").and_then(|t| two(&t)),
        }
    }

    /// Returns the number of ports that the system can choose from, for connections to one address
    /// and port.
    pub fn ports(&self) -> Option<u64> {
        self.port_range.map(|[first, last]| (last + 1).saturating_sub(first))
    }
}

fn idle_states(folder: &Path) -> Vec<String> {
    let entries = read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    // `state0` to `state9`: there are never more.
    folders.sort();
    let read = |path: &Path, name: &str| {
        read_to_string(path.join(name)).map(|text| text.trim().to_owned()).ok()
    };
    folders
        .iter()
        .filter(|path| read(path, "disable").is_none_or(|disabled| disabled == "0"))
        .filter_map(|path| read(path, "name"))
        .collect()
}

/// Counts the numbers in a list such as `0-3,8`.
fn list_length(list: &str) -> Option<usize> {
    list.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let [low, high] = [low, high].map(|number| number.trim().parse::<usize>().ok());
            Some((high? + 1).saturating_sub(low?))
        })
        .sum()
}

/// Returns the choice in round brackets, such as `full` in `none voluntary (full)`.
fn bracketed(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('(')?;
    rest.split_once(')').map(|(chosen, _)| chosen.to_owned())
}

/// Returns the preemption model that the kernel was built for, from the text of its version.
fn built_preemption(version: &str) -> Option<String> {
    let words = version.split_whitespace();
    let mut models = words.filter(|word| word.starts_with("PREEMPT"));
    models.next().map(str::to_ascii_lowercase)
}

fn has_hypervisor(cpuinfo: &str) -> Option<bool> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

fn two(text: &str) -> Option<[u64; 2]> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    fn machine(files: &[(&str, &str)]) -> HostSettings {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            create_dir_all(path.parent().unwrap()).unwrap();
            write(path, text).unwrap();
        }
        HostSettings::below(root.path())
    }

    #[test]
    fn a_machine_that_tells_everything_is_read() {
        let cpu = "sys/devices/system/cpu";
        let idle = |state: usize, name: &str| format!("{cpu}/cpu0/cpuidle/state{state}/{name}");
        let settings = machine(&[
            (&format!("{cpu}/smt/active"), "1\n"),
            (&format!("{cpu}/intel_pstate/no_turbo"), "0\n"),
            (&idle(1, "name"), "C6\n"),
            (&idle(0, "name"), "POLL\n"),
            (&idle(2, "name"), "C8\n"),
            (&idle(2, "disable"), "1\n"),
            ("sys/devices/system/node/online", "0-1,4\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
            ("sys/kernel/debug/sched/preempt", "none (voluntary) full\n"),
            ("proc/cpuinfo", "processor: 0\nflags\t\t: fpu hypervisor sse\n"),
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
        ]);
        let expected = HostSettings {
            smt: Some(true),
            turbo: Some(true),
            idle_states: vec!["POLL".to_owned(), "C6".to_owned()],
            numa_nodes: Some(3),
            quota_cores: None,
            clock_source: Some("tsc".to_owned()),
            preemption: Some("voluntary".to_owned()),
            virtualised: Some(true),
            somaxconn: Some(4096),
            port_range: Some([32_768, 60_999]),
        };
        assert_eq!(settings, expected);
        assert_eq!(settings.ports(), Some(28_232));
    }

    #[test]
    fn a_machine_that_tells_nothing_is_unknown() {
        assert_eq!(machine(&[]), HostSettings::default());
        let built = machine(&[("proc/version", "Linux version 6.1 #1 SMP PREEMPT_DYNAMIC @0\n")]);
        assert_eq!(built.preemption.as_deref(), Some("preempt_dynamic"));
    }
}
