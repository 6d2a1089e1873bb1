//! One connection to the forward port.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Frame, PATIENCE};

/// How long nothing must come before we say that nothing comes.
const SILENCE: Duration = Duration::from_millis(100);

/// A connected client.
pub(crate) struct Client(TcpStream);

impl Client {
    /// Connects.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.write(&frame.bytes()).unwrap();
    }

    /// Writes bytes; an error when the peer has closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Writes bytes; whether all of them were taken in time.
    pub(crate) fn write_within(&mut self, bytes: &[u8], within: Duration) -> bool {
        self.0.set_write_timeout(Some(within)).unwrap();
        match self.0.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_timeout(error.kind()) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Closes the writing side.
    pub(crate) fn finish(&mut self) {
        // The peer may have closed before.
        drop(self.0.shutdown(Shutdown::Write));
    }

    /// Waits for exactly so many bytes; fewer when the connection ends.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = Vec::new();
        // A reset ends it as well.
        drop((&self.0).take(count as u64).read_to_end(&mut bytes));
        bytes
    }

    /// What one read gives.
    pub(crate) fn read_once(&mut self) -> Vec<u8> {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = vec![0; 4096];
        let length = self.0.read(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    /// What comes until the peer closes; `None` when it has not closed by then.
    pub(crate) fn read_to_end(&mut self, within: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(within)).unwrap();
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if is_timeout(error.kind()) => None,
            _ => Some(bytes),
        }
    }

    /// Reads until `last` has come or the peer has closed; whether it came.
    pub(crate) fn read_until(&mut self, last: &[u8]) -> (Vec<u8>, bool) {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.0.read(&mut buffer) {
                Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if is_timeout(error.kind()) => {
                    panic!("neither {last:x?} nor the end came, only {bytes:x?}")
                }
                _ => return (bytes, false),
            }
            if bytes.ends_with(last) {
                return (bytes, true);
            }
        }
    }

    /// Whether the connection is open and nothing comes.
    pub(crate) fn is_open_and_silent(&mut self) -> bool {
        self.0.set_read_timeout(Some(SILENCE)).unwrap();
        let read = self.0.read(&mut [0]);
        read.is_err_and(|error| is_timeout(error.kind()))
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
