//! What the container may use: memory and CPUs, from cgroup v2 or v1.

use std::fs;
use std::path::{Path, PathBuf};

/// A v1 hierarchy without a limit says a number near 2^63.
const UNLIMITED: u64 = 1 << 60;

/// The memory limit of this process's cgroup in bytes; `None` without one.
pub fn memory_limit() -> Option<u64> {
    let root = Path::new("/");
    let v2 =
        folders(root, "", "sys/fs/cgroup").filter_map(|folder| number(&folder.join("memory.max")));
    let v1 = folders(root, "memory", "sys/fs/cgroup/memory")
        .filter_map(|folder| number(&folder.join("memory.limit_in_bytes")));
    v2.chain(v1).filter(|&limit| limit < UNLIMITED).min()
}

/// Whole CPUs this process may use, at least one: its quota rounded up, within the CPUs it may run on.
pub fn cpus() -> usize {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    quota(Path::new("/")).map_or(available, |quota| available.min(quota).max(1))
}

/// The RAM of the machine in bytes.
pub(super) fn ram() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let number: u64 = kilobytes.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

fn quota(root: &Path) -> Option<usize> {
    let v2 = folders(root, "", "sys/fs/cgroup").filter_map(|folder| {
        let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        whole(quota.parse().ok()?, period.parse().ok()?)
    });
    let v1 = folders(root, "cpu", "sys/fs/cgroup/cpu").filter_map(|folder| {
        let quota = number(&folder.join("cpu.cfs_quota_us"))?;
        whole(quota, number(&folder.join("cpu.cfs_period_us"))?)
    });
    v2.chain(v1).min()
}

fn whole(quota: u64, period: u64) -> Option<usize> {
    usize::try_from(quota.div_ceil(period.max(1))).ok()
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The process's folder under `mount` for `controller` ("" is v2) and those above it, since a limit anywhere on the way
/// binds. Inside a container the path of `/proc/self/cgroup` may not be visible; then only the mount itself is.
fn folders(root: &Path, controller: &str, mount: &str) -> impl Iterator<Item = PathBuf> {
    let mount = root.join(mount);
    let table = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let own = table.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        controllers
            .split(',')
            .any(|name| name == controller)
            .then(|| parts.next())
            .flatten()
    });
    let own = mount.join(own.unwrap_or("/").trim_start_matches('/'));
    let ancestors: Vec<_> = own
        .ancestors()
        .take_while(|folder| folder.starts_with(&mount))
        .map(PathBuf::from)
        .collect();
    ancestors.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_anywhere_above_binds() {
        let root = std::env::temp_dir().join(format!("sluice-cgroup-{}", std::process::id()));
        let inner = root.join("sys/fs/cgroup/cpu/task/box");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(root.join("proc/self")).unwrap();
        fs::write(
            root.join("proc/self/cgroup"),
            "3:cpu,cpuacct:/task/box\n0::/\n",
        )
        .unwrap();
        fs::write(inner.join("cpu.cfs_quota_us"), "-1\n").unwrap();
        fs::write(inner.join("cpu.cfs_period_us"), "100000\n").unwrap();
        assert_eq!(quota(&root), None);
        let outer = root.join("sys/fs/cgroup/cpu/task");
        fs::write(outer.join("cpu.cfs_quota_us"), "25000\n").unwrap();
        fs::write(outer.join("cpu.cfs_period_us"), "100000\n").unwrap();
        assert_eq!(quota(&root), Some(1));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_machine_has_memory_and_a_cpu() {
        assert!(ram().is_some_and(|ram| ram > 64 << 20));
        assert!(cpus() >= 1);
    }
}
