//! The router under test, and what the system says about it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::error::{Error, Result};
use crate::process::{Process, free_port};
use crate::procfs;
use crate::run::Router as Program;

/// How long it may take to listen, and to let go of peers that have left.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at while that is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// After something has changed: how long until its memory is read. What is freed is given back by then.
const SETTLE: Duration = Duration::from_secs(2);

/// A router that listens. It is killed with its handle.
pub(super) struct Router {
    process: Process,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The descriptors it had before the first peer.
    pub(super) descriptors: u64,
}

impl Router {
    /// Starts it with a forward input of this `Mem_Buf_Limit` and the output `null`.
    pub(super) async fn start(program: &Program, folder: &Path, limit: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let address = free_port()?;
        let config = folder.join("router.conf");
        fs::write(&config, configuration(address, limit))
            .map_err(Error::io(format!("write {}", config.display())))?;
        let mut command = match &program.program {
            Some(path) => Command::new(path),
            None => return Err(Error::Usage("the floor is no router".to_owned())),
        };
        command.arg("-c").arg(&config).stdout(Stdio::null());
        let process = Process::start(&program.name, &mut command, &folder.join("router.log"))?;
        let mut router = Self {
            process,
            address,
            descriptors: 0,
        };
        router.listens().await?;
        tokio::time::sleep(SETTLE).await;
        router.descriptors = router.open();
        Ok(router)
    }

    async fn listens(&mut self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.ended() {
                return Err(Error::Answer {
                    who: "the router".to_owned(),
                    what: format!("it ended at once: {status}"),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(timeout("the router"))
    }

    /// Its resident memory, once it has settled.
    pub(super) async fn settled(&self) -> u64 {
        tokio::time::sleep(SETTLE).await;
        self.resident()
    }

    /// Its resident memory now; 0 when it is gone.
    pub(super) fn resident(&self) -> u64 {
        procfs::resident(self.process.id()).unwrap_or(0)
    }

    /// The most it ever had.
    pub(super) fn peak(&self) -> u64 {
        procfs::peak_resident(self.process.id()).unwrap_or(0)
    }

    /// CPU seconds so far.
    pub(super) fn cpu_seconds(&self) -> f64 {
        procfs::cpu_seconds(self.process.id()).unwrap_or(0.0)
    }

    /// Descriptors it has open; 0 when it is gone.
    pub(super) fn open(&self) -> u64 {
        procfs::descriptors(self.process.id()).unwrap_or(0)
    }

    /// Waits until it has so many descriptors more than before the first peer.
    pub(super) async fn has_accepted(&self, peers: u64) -> Result<()> {
        let wanted = self.descriptors + peers;
        let what = format!("the router to accept {peers} peers");
        self.waits(|open| open >= wanted, &what).await
    }

    /// Waits until it has no more descriptors than so many peers need.
    pub(super) async fn has_only(&self, peers: u64) -> Result<()> {
        let wanted = self.descriptors + peers;
        let what = "the router to let go of peers that have left";
        self.waits(|open| open <= wanted, what).await
    }

    /// Waits until the descriptors of all peers are gone; how many are left if that does not happen.
    pub(super) async fn left_behind(&self) -> u64 {
        match self.has_only(0).await {
            Ok(()) => 0,
            Err(_) => self.open().saturating_sub(self.descriptors),
        }
    }

    async fn waits(&self, is_enough: impl Fn(u64) -> bool, what: &str) -> Result<()> {
        let begin = Instant::now();
        while !is_enough(self.open()) {
            if begin.elapsed() > PATIENCE {
                return Err(timeout(what));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

fn timeout(what: &str) -> Error {
    Error::Timeout {
        what: what.to_owned(),
        seconds: PATIENCE.as_secs(),
    }
}

fn configuration(address: SocketAddr, limit: u64) -> String {
    let (host, port) = (address.ip(), address.port());
    format!(
        "[SERVICE]\n    Flush 1\n    Grace 5\n\n\
         [INPUT]\n    Name forward\n    Listen {host}\n    Port {port}\n    Mem_Buf_Limit {limit}\n\n\
         [OUTPUT]\n    Name null\n    Match *\n"
    )
}
