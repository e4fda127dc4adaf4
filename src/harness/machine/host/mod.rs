//! Properties of the machine that affect the measurements of a run.

pub mod cgroup;
pub mod settings;
pub mod strain;

use std::fs::read_to_string;

use aws_lc_rs::digest;

/// Properties that do not change while the machine is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Model as the kernel names it, or `unknown`.
    pub cpu_model: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Name, release and machine of the kernel.
    pub kernel: String,
    /// Frequency governor of the first core, or `unknown`.
    pub governor: String,
    /// Total memory in bytes; zero when unknown.
    pub memory_bytes: u64,
}

impl Host {
    /// Reads the properties from `/proc` and `/sys`.
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        let [name, release, machine] = [uname.sysname(), uname.release(), uname.machine()]
            .map(|text| text.to_string_lossy().into_owned());
        let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        let kib = kib("/proc/meminfo", "MemTotal");
        Self {
            cpu_model: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: super::cores::allowed().len(),
            kernel: format!("{name} {release} {machine}"),
            governor: read_to_string(governor)
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            memory_bytes: kib.unwrap_or(0) * 1024,
        }
    }

    /// Returns a short hash of all fields. Results compare only where it is equal.
    ///
    /// No other property is part of it, so that stored baselines stay useful. It changes with an
    /// upgrade of the kernel, but not with the container, if the container allows the same cores.
    pub fn fingerprint(&self) -> String {
        let all = format!(
            "{}\n{}\n{}\n{}\n{}",
            self.cpu_model, self.cores, self.kernel, self.governor, self.memory_bytes
        );
        let digest = digest::digest(&digest::SHA256, all.as_bytes());
        let short = digest.as_ref().iter().take(6);
        short.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// Returns the value of the first `name: value` line.
fn field(path: &str, name: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// Returns the value of a `name: value kB` line.
fn kib(path: &str, name: &str) -> Option<u64> {
    field(path, name)?.split(' ').next()?.parse().ok()
}

/// Returns the memory that this process uses, in bytes, if the system tells.
pub fn resident_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmRSS").map(|kib| kib * 1024)
}

/// Returns the anonymous memory of a process (heap and stacks) in bytes, if the system tells.
///
/// It does not depend on how much of the executable is in the page cache. In `smaps_rollup` the
/// kernel adds it up over the page tables. `RssAnon` of `status` is the second choice: its counters
/// may be off by some hundred kilobytes in Linux 6.2 to 6.16.
pub fn anonymous_bytes(pid: u32) -> Option<u64> {
    let of = |file, name| kib(&format!("/proc/{pid}/{file}"), name);
    of("smaps_rollup", "Anonymous").or_else(|| of("status", "RssAnon")).map(|kib| kib * 1024)
}

/// Returns the memory that can be used without swapping, in bytes, if the system tells.
pub fn available_bytes() -> Option<u64> {
    kib("/proc/meminfo", "MemAvailable").map(|kib| kib * 1024)
}

/// CPU time of the whole machine so far, in clock ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl CpuTicks {
    /// Reads the ticks from `/proc/stat`; zero if there are none.
    pub fn read() -> Self {
        read_to_string("/proc/stat").ok().and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// Parses the first line: `cpu user nice system idle iowait irq softirq steal ..` (proc(5)).
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        // User time already includes guest time.
        let ticks: Vec<u64> = numbers.take(8).filter_map(|number| number.parse().ok()).collect();
        Some(Self { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) })
    }

    /// Returns the share of the time since `earlier` that the hypervisor took away.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    pub fn steal_share_since(&self, earlier: &Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64
    }
}

/// Returns true if this folder is in memory (a `tmpfs`), so that its files end with the machine.
pub fn is_in_memory(folder: &std::path::Path) -> bool {
    /// `TMPFS_MAGIC` of statfs(2).
    const TMPFS: u64 = 0x0102_1994;
    let read = rustix::fs::statfs(folder);
    read.is_ok_and(|found| u64::try_from(found.f_type) == Ok(TMPFS))
}

/// Returns the load average over one minute, if the system tells.
pub fn load_average() -> Option<f64> {
    read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_grows_with_the_heap_and_holds_no_pages_of_files() {
        const BLOCK: u64 = 64 << 20;
        let own = || anonymous_bytes(std::process::id()).unwrap();
        let block = std::hint::black_box(vec![1_u8; usize::try_from(BLOCK).unwrap()]);
        assert!(own() >= BLOCK);
        drop(block);
        // Most resident memory of a small program holds its own file and its libraries.
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        while kib(&status, "RssFile").is_none_or(|kib| kib < 500) {}
        let resident = kib(&status, "VmRSS").unwrap() * 1024;
        let anonymous = anonymous_bytes(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(anonymous > 0 && anonymous < resident / 2, "{anonymous} of {resident}");
        assert_eq!(anonymous_bytes(u32::MAX), None);
    }

    #[test]
    fn steal_is_the_eighth_number_and_a_share_of_all() {
        let earlier = CpuTicks::parse("cpu  10 0 10 80 0 0 0 0 5 5\ncpu0 1").unwrap();
        let later = CpuTicks::parse("cpu  20 0 20 150 0 0 0 10 9 9\n").unwrap();
        assert!((later.steal_share_since(&earlier) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn the_fingerprint_depends_on_every_part() {
        let host = Host {
            cpu_model: "a".into(),
            cores: 2,
            kernel: "k".into(),
            governor: "g".into(),
            memory_bytes: 1,
        };
        let other = Host { memory_bytes: 2, ..host.clone() };
        assert_eq!(host.fingerprint(), host.clone().fingerprint());
        assert_ne!(host.fingerprint(), other.fingerprint());
        assert_eq!(host.fingerprint().len(), 12);
    }
}
