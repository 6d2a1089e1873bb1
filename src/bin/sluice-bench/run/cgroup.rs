//! Puts a router under a memory and a CPU limit, like a small sidecar.
//!
//! Version 1: <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>,
//! version 2: <https://docs.kernel.org/admin-guide/cgroup-v2.html>.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::stats::approx;

const CPU_PERIOD_MICROS: u64 = 100_000;

/// What a router may use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// CPUs, e.g. 0.25.
    pub(super) cpu: Option<f64>,
}

/// Where the controllers are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mounts {
    V1 {
        memory: Option<PathBuf>,
        cpu: Option<PathBuf>,
    },
    V2(PathBuf),
}

/// A cgroup for one router; removed when the handle goes.
#[derive(Debug, Default)]
pub(super) struct Cgroup {
    folders: Vec<PathBuf>,
    /// The file with a line `oom_kill N`.
    oom_file: Option<PathBuf>,
}

impl Cgroup {
    /// Makes a cgroup with `limits`; without any it does nothing.
    pub(super) fn new(limits: Limits, name: &str) -> Result<Self> {
        let mut cgroup = Self::default();
        if limits.memory.is_none() && limits.cpu.is_none() {
            return Ok(cgroup);
        }
        let mounts =
            fs::read_to_string("/proc/self/mounts").map_err(Error::io("read /proc/self/mounts"))?;
        match Mounts::parse(&mounts)? {
            Mounts::V1 { memory, cpu } => cgroup.make_v1(limits, memory, cpu, name)?,
            Mounts::V2(root) => cgroup.make_v2(limits, &root, name)?,
        }
        Ok(cgroup)
    }

    /// A command that runs `program` inside of the cgroup from its first instruction on.
    pub(super) fn command(&self, program: &Path) -> Command {
        if self.folders.is_empty() {
            return Command::new(program);
        }
        // The shell moves itself and then becomes the program, which thus sees its limits when it starts.
        let moves: String = self
            .folders
            .iter()
            .map(|folder| format!("echo $$ > '{}/cgroup.procs' && ", folder.display()))
            .collect::<Vec<_>>()
            .concat();
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("{moves}exec \"$0\" \"$@\""))
            .arg(program);
        command
    }

    /// How many processes in it were killed for want of memory; `None` without a memory limit.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        let text = fs::read_to_string(self.oom_file.as_ref()?).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }

    fn make_v1(
        &mut self,
        limits: Limits,
        memory: Option<PathBuf>,
        cpu: Option<PathBuf>,
        name: &str,
    ) -> Result<()> {
        if let Some(bytes) = limits.memory {
            let folder = self.make(&memory.ok_or_else(|| missing("memory"))?, name)?;
            set(&folder.join("memory.limit_in_bytes"), &bytes.to_string())?;
            // Only kernels with swap accounting have this one; on the others there is nothing to switch off.
            let _ = set(
                &folder.join("memory.memsw.limit_in_bytes"),
                &bytes.to_string(),
            );
            self.oom_file = Some(folder.join("memory.oom_control"));
        }
        if let Some(cpus) = limits.cpu {
            let folder = self.make(&cpu.ok_or_else(|| missing("cpu"))?, name)?;
            set(
                &folder.join("cpu.cfs_period_us"),
                &CPU_PERIOD_MICROS.to_string(),
            )?;
            set(&folder.join("cpu.cfs_quota_us"), &quota(cpus))?;
        }
        Ok(())
    }

    fn make_v2(&mut self, limits: Limits, root: &Path, name: &str) -> Result<()> {
        set(&root.join("cgroup.subtree_control"), "+memory +cpu")?;
        let folder = self.make(root, name)?;
        if let Some(bytes) = limits.memory {
            set(&folder.join("memory.max"), &bytes.to_string())?;
            let _ = set(&folder.join("memory.swap.max"), "0");
            self.oom_file = Some(folder.join("memory.events"));
        }
        if let Some(cpus) = limits.cpu {
            set(
                &folder.join("cpu.max"),
                &format!("{} {CPU_PERIOD_MICROS}", quota(cpus)),
            )?;
        }
        Ok(())
    }

    fn make(&mut self, root: &Path, name: &str) -> Result<PathBuf> {
        let folder = root.join(name);
        fs::create_dir(&folder)
            .map_err(|error| Error::Cgroup(format!("{}: {error}", folder.display())))?;
        self.folders.push(folder.clone());
        Ok(folder)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            if let Err(error) = fs::remove_dir(folder) {
                eprintln!("run: cannot remove {}: {error}", folder.display());
            }
        }
    }
}

impl Mounts {
    fn parse(mounts: &str) -> Result<Self> {
        let (mut memory, mut cpu, mut unified) = (None, None, None);
        for line in mounts.lines() {
            let mut fields = line.split(' ');
            let (Some(_), Some(path), Some(kind), Some(options)) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let has = |name: &str| options.split(',').any(|option| option == name);
            match kind {
                "cgroup" if has("memory") => memory = Some(PathBuf::from(path)),
                "cgroup" if has("cpu") => cpu = Some(PathBuf::from(path)),
                "cgroup2" => unified = Some(PathBuf::from(path)),
                _ => {}
            }
        }
        match (memory, cpu, unified) {
            // On hosts with both, the controllers belong to version 1.
            (None, None, Some(root)) => Ok(Self::V2(root)),
            (None, None, None) => Err(Error::Cgroup("no cgroup file system is mounted".to_owned())),
            (memory, cpu, _) => Ok(Self::V1 { memory, cpu }),
        }
    }
}

fn quota(cpus: f64) -> String {
    format!("{:.0}", cpus * approx(CPU_PERIOD_MICROS))
}

fn set(file: &Path, value: &str) -> Result<()> {
    fs::write(file, value).map_err(|error| Error::Cgroup(format!("{}: {error}", file.display())))
}

fn missing(controller: &str) -> Error {
    Error::Cgroup(format!("the {controller} controller is not mounted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_both_versions_are_understood() {
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let expected = Mounts::V1 {
            memory: Some("/sys/fs/cgroup/memory".into()),
            cpu: Some("/sys/fs/cgroup/cpu".into()),
        };
        assert_eq!(Mounts::parse(v1).unwrap(), expected);
        let v2 = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        assert_eq!(
            Mounts::parse(v2).unwrap(),
            Mounts::V2("/sys/fs/cgroup".into())
        );
        assert!(Mounts::parse("proc /proc proc rw 0 0\n").is_err());
    }

    #[test]
    fn a_quarter_of_a_cpu_is_a_quarter_of_the_period() {
        assert_eq!(quota(0.25), "25000");
    }

    #[test]
    fn without_limits_nothing_is_made() {
        let cgroup = Cgroup::new(Limits::default(), "unused").unwrap();
        assert_eq!(
            cgroup.command(Path::new("/bin/true")).get_program(),
            "/bin/true"
        );
        assert_eq!(cgroup.oom_kills(), None);
    }
}
