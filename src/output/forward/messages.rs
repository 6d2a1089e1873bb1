//! What a peer says: one value at a time, however its bytes are cut.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::scan::Scanner;

/// So much is read at once.
const STEP: usize = 4096;

/// The longest acknowledgement: ours has 30 bytes, and others may add to it.
pub(super) const ACK_MAX: usize = 4096;

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    /// The peer has closed.
    #[error("it closed the connection")]
    Closed,
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// What comes is no message, or has no end.
    #[error("what it says is no forward protocol")]
    Foreign,
}

/// The bytes that have come and are not understood yet.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<u8>);

impl Messages {
    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for the next message, of at most `max` bytes.
    ///
    /// # Errors
    /// See [`Silence`].
    pub(super) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        max: usize,
    ) -> Result<Vec<u8>, Silence> {
        let mut scanner = Scanner::default();
        loop {
            match scanner.end(&self.0) {
                Ok(Some(end)) => return Ok(self.0.drain(..end).collect()),
                Ok(None) if scanner.least() > max || self.0.len() > max => {
                    return Err(Silence::Foreign);
                }
                Ok(None) => {}
                Err(_) => return Err(Silence::Foreign),
            }
            self.0.reserve(STEP);
            let mut limited = stream.take(STEP as u64);
            if limited.read_buf(&mut self.0).await? == 0 {
                return Err(Silence::Closed);
            }
        }
    }
}

/// The id in an acknowledgement, `{"ack": id}`; other keys beside it mean nothing.
pub(super) fn acknowledged(message: &[u8]) -> Option<&[u8]> {
    let (_, Value::Map(_)) = read::value(message).ok()? else {
        return None;
    };
    Pairs::of(message)
        .find_map(|(key, value)| (read::text(key) == Some(b"ack")).then(|| read::text(value))?)
}

/// Whether the peer starts a handshake.
pub(super) fn is_helo(message: &[u8]) -> bool {
    crate::forward::handshake::Helo::read(message).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    async fn messages(pieces: &[&[u8]], max: usize) -> Vec<Result<Vec<u8>, String>> {
        let (mut stream, mut peer) = tokio::io::duplex(1024);
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
        tokio::spawn(async move {
            for piece in pieces {
                peer.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut messages = Messages::default();
        let mut all = Vec::new();
        loop {
            let next = messages.next(&mut stream, max).await;
            let is_end = next.is_err();
            all.push(next.map_err(|silence| silence.to_string()));
            if is_end {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn messages_come_whole_however_they_are_cut() {
        let ack = b"\x81\xa3ack\xa1x".to_vec();
        let closed = Err("it closed the connection".to_owned());
        let expected = [Ok(ack.clone()), Ok(vec![0xc0]), closed];
        for pieces in [
            &[&b"\x81\xa3ack\xa1x\xc0"[..]][..],
            &[b"\x81", b"\xa3a", b"ck\xa1x\xc0"],
            &[b"\x81\xa3ack\xa1x", b"\xc0"],
        ] {
            assert_eq!(messages(pieces, 16).await, expected);
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_no_message_is_foreign() {
        let foreign = [Err("what it says is no forward protocol".to_owned())];
        assert_eq!(messages(&[b"\xdb\xff\xff\xff\xff"], 64).await, foreign);
        assert_eq!(messages(&[b"\xc1"], 64).await, foreign);
        assert_eq!(messages(&[&[0x91; 100]], 64).await, foreign);
    }

    #[test]
    fn an_acknowledgement_is_found_among_other_keys_and_nothing_else_is_one() {
        assert_eq!(acknowledged(b"\x81\xa3ack\xa1x"), Some(&b"x"[..]));
        assert_eq!(
            acknowledged(b"\x82\xa1y\xc0\xc4\x03ack\xc4\x01x"),
            Some(&b"x"[..])
        );
        for other in [
            &b"\x80"[..],
            b"\x81\xa3ack\x05",
            b"\x92\xa3ack\xa1x",
            b"\xc0",
            b"",
        ] {
            assert_eq!(acknowledged(other), None);
        }
    }
}
