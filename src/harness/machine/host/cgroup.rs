//! CPU quota of this process's control group, and the time that the group was stopped for it.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Folders of the CPU controller that apply to this process: its own group's and those above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// Returns the groups of this process.
    pub fn of_self() -> Self {
        let text = read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(Path::new("/sys/fs/cgroup"), &text)
    }

    /// Finds the folders. `text` is the content of `/proc/PID/cgroup`: lines of
    /// `id:controllers:path` (cgroups(7)).
    fn find(root: &Path, text: &str) -> Self {
        let mut folders = Vec::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            // An empty list means version 2, whose single tree has all controllers.
            let is_cpu = controllers.is_empty() || controllers.split(',').any(|one| one == "cpu");
            if is_cpu {
                let tree = root.join(controllers);
                let own = tree.join(path.trim_start_matches('/'));
                let inside = own.ancestors().take_while(|folder| folder.starts_with(&tree));
                folders.extend(inside.map(Path::to_path_buf));
            }
        }
        Self { folders }
    }

    /// Returns the number of cores that may be used, if there is a limit: the least of all groups.
    pub fn quota_cores(&self) -> Option<f64> {
        let quotas = self.folders.iter().filter_map(|folder| quota(folder));
        quotas.min_by(f64::total_cmp)
    }

    /// Returns the nanoseconds so far that a group was stopped because its quota was used up.
    pub fn throttled_ns(&self) -> u64 {
        self.folders.iter().filter_map(|folder| throttled_ns(folder)).max().unwrap_or(0)
    }
}

fn quota(folder: &Path) -> Option<f64> {
    let number =
        |name: &str| -> Option<f64> { read_to_string(folder.join(name)).ok()?.trim().parse().ok() };
    let (quota, period) = match read_to_string(folder.join("cpu.max")) {
        Ok(text) => {
            let mut numbers = text.split_whitespace().map(str::parse::<f64>);
            (numbers.next()?.ok()?, numbers.next()?.ok()?)
        }
        // Version 1, where -1 means no limit.
        Err(_) => (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?),
    };
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

fn throttled_ns(folder: &Path) -> Option<u64> {
    let text = read_to_string(folder.join("cpu.stat")).ok()?;
    let value = |name: &str| -> Option<u64> {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(key, _)| *key == name)?.1.trim().parse().ok()
    };
    value("throttled_usec").map(|us| us.saturating_mul(1000)).or_else(|| value("throttled_time"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn version_2_limits_hold_from_every_group_above() {
        let root = tempfile::tempdir().unwrap();
        let (outer, inner) = (root.path().join("a"), root.path().join("a/b"));
        create_dir_all(&inner).unwrap();
        write(outer.join("cpu.max"), "150000 100000\n").unwrap();
        write(inner.join("cpu.max"), "max 100000\n").unwrap();
        write(inner.join("cpu.stat"), "usage_usec 9\nnr_throttled 2\nthrottled_usec 7\n").unwrap();
        write(outer.join("cpu.stat"), "throttled_usec 30\n").unwrap();
        let cgroup = Cgroup::find(root.path(), "0::/a/b\n");
        assert_eq!(cgroup.quota_cores(), Some(1.5));
        assert_eq!(cgroup.throttled_ns(), 30_000);
    }

    #[test]
    fn version_1_is_read_where_the_cpu_controller_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cpu,cpuacct/job");
        create_dir_all(&folder).unwrap();
        write(folder.join("cpu.cfs_quota_us"), "50000\n").unwrap();
        write(folder.join("cpu.cfs_period_us"), "100000\n").unwrap();
        write(folder.join("cpu.stat"), "nr_throttled 1\nthrottled_time 12345\n").unwrap();
        let text = "4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n";
        let cgroup = Cgroup::find(root.path(), text);
        assert_eq!((cgroup.quota_cores(), cgroup.throttled_ns()), (Some(0.5), 12_345));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let root = tempfile::tempdir().unwrap();
        write(root.path().join("cpu.cfs_quota_us"), "-1\n").unwrap();
        write(root.path().join("cpu.cfs_period_us"), "100000\n").unwrap();
        let cgroup = Cgroup::find(root.path(), "0::/\nnonsense\n");
        assert_eq!((cgroup.quota_cores(), cgroup.throttled_ns()), (None, 0));
    }
}
