//! A client of the forward protocol: asks for acknowledgements, floods, sends a byte now and then.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::load::frames::{Block, Blueprint, Mode, ack_answer};
use crate::record::TextKind;
use crate::stats::{approx, ratio};

/// Peers come from so many addresses, so that none runs out of ports while old connections linger.
const ADDRESSES: u64 = 100;
/// How long an acknowledgement may take.
const ACK_WITHIN: Duration = Duration::from_mins(1);
/// Bytes of one write of a peer that floods.
const FLOOD_WRITE: usize = 64 << 10;
const TAG: &str = "peer-firelens-5d1c0f6b7a2e4c3d9b8a7f6e5d4c3b2a";

/// What peers write.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    /// One record that asks for its acknowledgement.
    pub(super) asking: Block,
    /// One record that asks for nothing.
    pub(super) silent: Block,
    /// Many of these.
    pub(super) many: Arc<Block>,
}

impl Frames {
    /// Frames of records with a text of `size` bytes.
    pub(super) fn new(size: usize) -> Result<Self> {
        let blueprint = |asks| {
            let shape = (Mode::Message, TextKind::Access, size);
            Blueprint::new(shape, (TAG.to_owned(), 0), asks, 1)
        };
        let silent = blueprint(false)?;
        let many = (FLOOD_WRITE / (size + 250)).max(1) as u64;
        Ok(Self {
            asking: blueprint(true)?.block(0, 1),
            silent: silent.block(0, 1),
            many: Arc::new(silent.block(0, many)),
        })
    }
}

/// A connected client.
pub(super) struct Peer {
    /// The connection.
    pub(super) stream: TcpStream,
    frames: Frames,
    next_ack: u64,
}

impl Peer {
    /// Connects peer number `number`.
    pub(super) async fn connect(to: SocketAddr, number: u64, frames: &Frames) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let from = Ipv4Addr::new(127, 1, 0, 1 + (number % ADDRESSES) as u8);
        socket.set_reuseaddr(true)?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            frames: frames.clone(),
            next_ack: 0,
        })
    }

    /// Sends one record and waits for its acknowledgement.
    pub(super) async fn ask(&mut self) -> io::Result<()> {
        self.next_ack += 1;
        self.frames.asking.stamp_ack_ids(self.next_ack);
        self.stream.write_all(&self.frames.asking.bytes).await?;
        let expected = ack_answer(self.next_ack);
        let mut answer = vec![0; expected.len()];
        let read = self.stream.read_exact(&mut answer);
        tokio::time::timeout(ACK_WITHIN, read).await??;
        if answer == expected {
            Ok(())
        } else {
            Err(io::Error::other("the ack is that of another frame"))
        }
    }

    /// Sends many records at once and waits until they have been taken.
    pub(super) async fn burst(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.frames.many.bytes).await?;
        self.ask().await
    }

    /// Sends a record every `period` until `end`.
    pub(super) async fn keep_a_beat(&mut self, period: Duration, end: Instant) -> io::Result<()> {
        let mut ticks = tokio::time::interval(period);
        while Instant::now() < end {
            ticks.tick().await;
            self.stream.write_all(&self.frames.silent.bytes).await?;
        }
        Ok(())
    }

    /// Sends as much as is taken until `end`, then waits until all of it has been; gives the bytes.
    async fn flood(&mut self, end: Instant) -> io::Result<u64> {
        let many = Arc::clone(&self.frames.many);
        let mut sent = 0;
        while Instant::now() < end {
            self.stream.write_all(&many.bytes).await?;
            sent += many.bytes.len() as u64;
        }
        self.ask().await?;
        Ok(sent)
    }
}

/// Connects so many peers, one after the other.
pub(super) async fn connect_all(
    to: SocketAddr,
    numbers: std::ops::Range<u64>,
    frames: &Frames,
) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for number in numbers {
        let connected = Peer::connect(to, number, frames).await;
        peers.push(connected.map_err(Error::io(format!("connect peer {number}")))?);
    }
    Ok(peers)
}

/// Has all peers send as much as is taken for this long; gives them back, and megabytes per second until the last was taken.
pub(super) async fn flood(peers: Vec<Peer>, time: Duration) -> Result<(Vec<Peer>, f64)> {
    let begin = Instant::now();
    let mut floods = JoinSet::new();
    for mut peer in peers {
        floods.spawn(async move {
            let sent = peer.flood(begin + time).await;
            (peer, sent)
        });
    }
    let (mut peers, mut bytes) = (Vec::new(), 0);
    while let Some(flooded) = floods.join_next().await {
        let (peer, sent) = flooded.map_err(|_| Error::Stopped)?;
        bytes += sent.map_err(Error::io("send as much as is taken"))?;
        peers.push(peer);
    }
    let rate = ratio(approx(bytes) / 1e6, begin.elapsed().as_secs_f64());
    Ok((peers, rate))
}

/// Nanoseconds since `begin`.
pub(super) fn nanos_since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
