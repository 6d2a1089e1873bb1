//! An aggregator of the forward protocol that does as it is told with each frame.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sluice::msgpack::scan::value_len;

use super::{ack, eventually, msgpack};

/// What is done with a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// It is stored, and acknowledged where it asks for that.
    Store,
    /// The same, with an acknowledgement in two pieces.
    StoreAndSplit,
    /// It is stored and acknowledged, and the connection closed.
    StoreAndLeave,
    /// It is stored, and the connection closed without an acknowledgement.
    StoreAndClose,
    /// The connection is closed.
    Close,
    /// Another frame is acknowledged.
    Confuse,
    /// Nothing happens.
    Ignore,
}

/// A frame that has come.
#[derive(Clone)]
pub(crate) struct Received {
    /// Which connection it came over, counted from 0.
    pub(crate) connection: usize,
    /// Its tag.
    pub(crate) tag: String,
    /// The id of its chunk, or nothing.
    pub(crate) chunk: Option<String>,
    /// The values of `log` in its records.
    pub(crate) texts: Vec<String>,
    /// Whether it was stored.
    pub(crate) is_stored: bool,
}

/// A receiver that runs until the process ends.
pub(crate) struct Receiver {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    frames: Arc<Mutex<Vec<Received>>>,
}

type Script = dyn Fn(usize) -> Reaction + Send + Sync;

impl Receiver {
    /// Starts a receiver; the script is told how many frames came before.
    pub(crate) fn start(script: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let frames = Arc::default();
        let (shared, script): (_, Arc<Script>) = (Arc::clone(&frames), Arc::new(script));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (frames, script) = (Arc::clone(&shared), Arc::clone(&script));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(stream, connection, &frames, &*script));
            }
        });
        Self { address, frames }
    }

    /// The frames so far.
    pub(crate) fn frames(&self) -> Vec<Received> {
        self.frames.lock().unwrap().clone()
    }

    /// The texts stored so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        let stored = self.frames().into_iter().filter(|frame| frame.is_stored);
        stored.flat_map(|frame| frame.texts).collect()
    }

    /// Waits until so many different texts are stored.
    pub(crate) fn has(&self, count: usize) {
        let distinct = || {
            let mut texts = self.texts();
            texts.sort();
            texts.dedup();
            texts.len()
        };
        eventually(
            &format!("{count} texts arrive"),
            || format!("{} have", distinct()),
            || (distinct() >= count).then_some(()),
        );
    }
}

fn serve(mut stream: TcpStream, connection: usize, frames: &Mutex<Vec<Received>>, script: &Script) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        let Some(end) = value_len(&bytes).unwrap() else {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
                _ => return,
            }
            continue;
        };
        let frame: Vec<u8> = bytes.drain(..end).collect();
        let mut received = read(&frame, connection);
        let reaction = {
            let mut frames = frames.lock().unwrap();
            let reaction = script(frames.len());
            received.is_stored = matches!(
                reaction,
                Reaction::Store
                    | Reaction::StoreAndSplit
                    | Reaction::StoreAndLeave
                    | Reaction::StoreAndClose
            );
            frames.push(received.clone());
            reaction
        };
        let Some(chunk) = received.chunk.filter(|_| !is_close(reaction)) else {
            if is_close(reaction) {
                return;
            }
            continue;
        };
        // The peer may have gone.
        let _gone = match reaction {
            Reaction::Store => stream.write_all(&ack(&chunk)),
            Reaction::StoreAndLeave => {
                stream.write_all(&ack(&chunk)).unwrap();
                return;
            }
            Reaction::StoreAndSplit => {
                stream.set_nodelay(true).unwrap();
                let bytes = ack(&chunk);
                stream
                    .write_all(&bytes[..7])
                    .and_then(|()| stream.write_all(&bytes[7..]))
            }
            Reaction::Confuse => stream.write_all(&ack("of something else")),
            Reaction::StoreAndClose | Reaction::Close | Reaction::Ignore => Ok(()),
        };
    }
}

fn is_close(reaction: Reaction) -> bool {
    matches!(reaction, Reaction::Close | Reaction::StoreAndClose)
}

fn read(frame: &[u8], connection: usize) -> Received {
    let frame = msgpack::value(&mut &frame[..]);
    let payload = frame[1]["$bin"].as_str().unwrap();
    let payload = base64_simd::STANDARD.decode_to_vec(payload).unwrap();
    let mut entries = &payload[..];
    let mut texts = Vec::new();
    while !entries.is_empty() {
        let entry = msgpack::value(&mut entries);
        texts.push(entry[1]["log"].as_str().unwrap().to_owned());
    }
    assert_eq!(frame[2]["size"], texts.len());
    Received {
        connection,
        tag: frame[0].as_str().unwrap().to_owned(),
        chunk: frame[2]["chunk"].as_str().map(str::to_owned),
        texts,
        is_stored: false,
    }
}
