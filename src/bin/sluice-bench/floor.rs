//! `floor`: reads what the load sends, hashes it, and writes the same bytes over TLS.
//!
//! A router that signs its requests can do no less, so its CPU time per gigabyte is shown as a multiple
//! of this one's. Each connection has a thread of its own with blocking calls, the cheapest way there is.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args;
use crate::error::{Error, Result};
use crate::output::{hex, print_json, print_text};
use crate::procfs;
use crate::signals;
use crate::stats::{approx, ratio, round};
use crate::tls;

const HELP: &str = "\
Read, hash and TLS-write what the load sends: the least any signing router can do.

Usage: sluice-bench floor (--tcp ADDR | --unix PATH) --sink ADDR --ca-file PATH

It takes the place of a router between load and sink. SIGTERM stops it; then it
prints one JSON object: bytes, CPU seconds, CPU seconds per GB.

Options:
      --tcp ADDR       Listen here, e.g. 127.0.0.1:24224
      --unix PATH      Listen on this unix socket
      --sink ADDR      The sink's endpoint
      --ca-file PATH   The sink's certificate authority
";

/// One request's body: about what a full CloudWatch Logs batch takes.
const BODY_BYTES: usize = 1 << 20;
/// How often a blocked accept or read looks whether it is time to go.
const LOOK: Duration = Duration::from_millis(50);

struct Options {
    unix: Option<PathBuf>,
    tcp: Option<SocketAddr>,
    sink: SocketAddr,
    ca_file: PathBuf,
}

/// What every connection's thread needs.
#[derive(Clone)]
struct Forwarder {
    sink: SocketAddr,
    config: Arc<ClientConfig>,
    bytes: Arc<AtomicU64>,
}

/// Runs the command.
pub(crate) fn main(parser: &mut lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(parser)? else {
        return print_text(HELP);
    };
    let stop = signals::stop_flag()?;
    let bytes = Arc::new(AtomicU64::new(0));
    let config = tls::trusting(&options.ca_file)?;
    let forwarder = Forwarder {
        sink: options.sink,
        config,
        bytes: Arc::clone(&bytes),
    };
    let cpu_before = procfs::own_cpu_seconds();
    match (&options.tcp, &options.unix) {
        (Some(address), None) => forwarder.listen_tcp(*address)?,
        (None, Some(path)) => forwarder.listen_unix(path)?,
        _ => return Err(Error::Usage("give either --tcp or --unix".to_owned())),
    }
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
    }
    let cpu = procfs::own_cpu_seconds() - cpu_before;
    let bytes = bytes.load(Ordering::Relaxed);
    print_json(&json!({
        "bytes": bytes,
        "cpu_seconds": round(cpu),
        "cpu_seconds_per_gb": round(ratio(cpu, approx(bytes) / 1e9)),
    }))
}

impl Options {
    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short};
        let (mut unix, mut tcp, mut sink, mut ca_file) = (None, None, None, None);
        while let Some(arg) = parser.next()? {
            match arg {
                Long("unix") => unix = Some(args::path(parser)?),
                Long("tcp") => tcp = Some(args::address(&args::value(parser)?)?),
                Long("sink") => sink = Some(args::address(&args::value(parser)?)?),
                Long("ca-file") => ca_file = Some(args::path(parser)?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        let missing = || Error::Usage("give --sink and --ca-file".to_owned());
        Ok(Some(Self {
            unix,
            tcp,
            sink: sink.ok_or_else(missing)?,
            ca_file: ca_file.ok_or_else(missing)?,
        }))
    }
}

impl Forwarder {
    fn listen_tcp(&self, address: SocketAddr) -> Result<()> {
        let listener =
            TcpListener::bind(address).map_err(Error::io(format!("listen on {address}")))?;
        let forwarder = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                forwarder.start(stream);
            }
        });
        Ok(())
    }

    fn listen_unix(&self, path: &Path) -> Result<()> {
        let listener =
            UnixListener::bind(path).map_err(Error::io(format!("listen on {}", path.display())))?;
        let forwarder = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                forwarder.start(stream);
            }
        });
        Ok(())
    }

    fn start(&self, stream: impl Read + Send + 'static) {
        let forwarder = self.clone();
        thread::spawn(move || {
            if let Err(error) = forwarder.forward(stream) {
                eprintln!("floor: {error}");
            }
        });
    }

    /// Moves one connection's bytes until its end.
    fn forward(&self, mut input: impl Read) -> Result<()> {
        let mut body = vec![0; BODY_BYTES];
        let mut sink = None;
        loop {
            let mut hasher = Sha256::new();
            let mut filled = 0;
            while let Some(space) = body.get_mut(filled..).filter(|space| !space.is_empty()) {
                match input.read(space) {
                    Ok(0) => break,
                    Ok(read) => {
                        hasher.update(space.get(..read).unwrap_or_default());
                        filled += read;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(source) => {
                        return Err(Error::Io {
                            doing: "read from the load".to_owned(),
                            source,
                        });
                    }
                }
            }
            if filled == 0 {
                return Ok(());
            }
            if sink.is_none() {
                // Only now: a connection that just looks whether someone listens costs no handshake.
                sink = Some(self.connect()?);
            }
            let (Some(sink), Some(full)) = (&mut sink, body.get(..filled)) else {
                return Ok(());
            };
            post(sink, full, &hasher.finalize())?;
            self.bytes.fetch_add(filled as u64, Ordering::Relaxed);
        }
    }

    fn connect(&self) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(self.sink)
            .map_err(Error::io(format!("connect to {}", self.sink)))?;
        stream
            .set_nodelay(true)
            .map_err(Error::io("set TCP_NODELAY"))?;
        let tls = ClientConnection::new(Arc::clone(&self.config), self.sink.ip().into())
            .map_err(|error| Error::Certificate(error.to_string()))?;
        Ok(StreamOwned::new(tls, stream))
    }
}

fn post(sink: &mut (impl Read + Write), body: &[u8], hash: &[u8]) -> Result<()> {
    let hash = hex(hash);
    let head = format!(
        "POST /floor HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nX-Amz-Content-Sha256: {hash}\r\n\r\n",
        body.len()
    );
    let mut answer = [0; 1024];
    let written = sink
        .write_all(head.as_bytes())
        .and_then(|()| sink.write_all(body))
        .and_then(|()| sink.flush());
    // The answer has no body and comes in one piece.
    let read = written
        .and_then(|()| sink.read(&mut answer))
        .map_err(Error::io("post to the sink"))?;
    let answer = answer.get(..read).unwrap_or_default();
    if answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"\r\n\r\n") {
        return Ok(());
    }
    Err(Error::Answer {
        who: "the sink".to_owned(),
        what: String::from_utf8_lossy(answer).into_owned(),
    })
}
