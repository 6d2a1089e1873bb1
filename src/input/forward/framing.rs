//! Where the frames are in what one peer sends, and how it wants to be answered.

use super::message::{self, Chunk, Frame};
use super::reject::Reject;
use crate::msgpack::scan::{ScanError, Scanner, flat_len};
use crate::msgpack::write;
use crate::parser::json::{JsonError, Transcoder, is_blank};

/// The first byte of a connection decides how its peer speaks, for good.
#[derive(Debug)]
enum Dialect {
    /// Nothing has come yet.
    Open,
    /// As everybody.
    Msgpack,
    /// As clients that were told to marshal as JSON.
    Json(Box<Transcoder>),
}

/// Finds frames.
#[derive(Debug)]
pub(super) struct Framing {
    dialect: Dialect,
    /// How far a frame has been searched that is not whole. Idle connections have none, since it takes half a kilobyte.
    scanner: Option<Box<Scanner>>,
    limit: usize,
}

impl Framing {
    /// Frames of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            dialect: Dialect::Open,
            scanner: None,
            limit,
        }
    }

    /// The frame at the start of `bytes` and its length, if it is whole and of the kind that [`message::plain`] knows.
    #[inline]
    pub(super) fn plain<'b>(&self, bytes: &'b [u8]) -> Option<(usize, Frame<'b>)> {
        if !matches!(self.dialect, Dialect::Msgpack) || self.scanner.is_some() {
            return None;
        }
        message::plain(bytes).filter(|(length, _)| *length <= self.limit)
    }

    /// The length of the frame at the start of `bytes`; `None` while it is incomplete. After a frame the next call is about the
    /// next one.
    ///
    /// # Errors
    /// Why nothing that may follow makes it a frame.
    #[inline]
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Reject> {
        let Some(first) = bytes.first() else {
            return Ok(None);
        };
        if !matches!(self.dialect, Dialect::Msgpack) {
            return self.next_otherwise(*first, bytes);
        }
        match first {
            // A lone nil is the protocol's keep-alive.
            0xc0 | 0x90..=0x9f | 0xdc | 0xdd => {}
            _ => return Err(Reject::NotAFrame),
        }
        // Nearly always the whole frame is there, and then nothing need be remembered.
        let whole = match self.scanner {
            None => flat_len(bytes),
            Some(_) => None,
        };
        let (end, least) = match whole {
            Some(end) => (whole, end),
            None => self.search(bytes)?,
        };
        if least > self.limit {
            return Err(Reject::FrameTooLarge);
        }
        Ok(end)
    }

    /// Goes on with the search for the end of a frame; the end, and how many bytes the frame needs at least.
    fn search(&mut self, bytes: &[u8]) -> Result<(Option<usize>, usize), Reject> {
        let scanner = self.scanner.get_or_insert_default();
        let end = scanner.resume(bytes).map_err(|error| match error {
            ScanError::Reserved => Reject::NotMsgpack,
            ScanError::Depth => Reject::DepthLimit,
        })?;
        let least = scanner.least();
        if end.is_some() {
            self.scanner = None;
        }
        Ok((end, least))
    }

    /// As [`Framing::next`] for the first byte of all, and for JSON.
    fn next_otherwise(&mut self, first: u8, bytes: &[u8]) -> Result<Option<usize>, Reject> {
        if matches!(self.dialect, Dialect::Open) {
            self.dialect = match first {
                b'[' | b'{' => Dialect::Json(Box::default()),
                _ => Dialect::Msgpack,
            };
        }
        let Dialect::Json(transcoder) = &mut self.dialect else {
            return self.next(bytes);
        };
        match bytes.iter().find(|byte| !is_blank(**byte)) {
            // Blanks behind the last frame; nothing waits for an end.
            None => return Ok(Some(bytes.len())),
            Some(b'[') => {}
            Some(_) => return Err(Reject::NotAFrame),
        }
        let end = transcoder.run(bytes).map_err(|error| match error {
            JsonError::Depth => Reject::DepthLimit,
            JsonError::Incomplete | JsonError::Unexpected(_) => Reject::NotJson,
        })?;
        if end.unwrap_or(bytes.len()) > self.limit {
            return Err(Reject::FrameTooLarge);
        }
        Ok(end)
    }

    /// Takes the frame just found, in msgpack, where it came as something else. Blanks alone are an empty one.
    #[inline]
    pub(super) fn translated(&mut self) -> Option<Vec<u8>> {
        let Dialect::Json(transcoder) = &mut self.dialect else {
            return None;
        };
        let frame = transcoder.value().to_vec();
        transcoder.reset();
        Some(frame)
    }

    /// Whether the peer speaks JSON.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.dialect, Dialect::Json(_))
    }

    /// Gives back room, between frames.
    pub(super) fn rest(&mut self) {
        if let Dialect::Json(transcoder) = &mut self.dialect {
            **transcoder = Transcoder::default();
        }
    }

    /// Appends the answer to a frame that asks for one: the same bytes as the same type, under the shortest header, as other
    /// routers answer.
    pub(super) fn acknowledge(&self, chunk: Chunk<'_>, acks: &mut Vec<u8>) {
        if self.is_json() {
            let (Chunk::Str(id) | Chunk::Bin(id)) = chunk;
            let answer = serde_json::json!({ "ack": String::from_utf8_lossy(id) });
            acks.extend_from_slice(answer.to_string().as_bytes());
            return;
        }
        write::map_header(acks, 1);
        write::str(acks, b"ack");
        match chunk {
            Chunk::Str(id) => write::str(acks, id),
            Chunk::Bin(id) => write::bin(acks, id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames in `bytes`, which come in pieces that end at `cuts`, and how it ended.
    fn frames(bytes: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Result<(), Reject>) {
        let mut framing = Framing::new(100);
        let (mut taken, mut frames) = (0, Vec::new());
        for &cut in cuts.iter().chain(&[bytes.len()]) {
            loop {
                match framing.next(&bytes[taken..cut]) {
                    Ok(None) => break,
                    Err(reject) => return (frames, Err(reject)),
                    Ok(Some(length)) => {
                        let raw = bytes[taken..taken + length].to_vec();
                        frames.push(framing.translated().unwrap_or(raw));
                        taken += length;
                    }
                }
            }
        }
        (frames, Ok(()))
    }

    #[test]
    fn json_becomes_msgpack_wherever_it_is_cut() {
        let text = br#"["t",5,{"m":"x"}] ["t",6,{}]
"#;
        let expected = vec![
            b"\x93\xa1t\x05\x81\xa1m\xa1x".to_vec(),
            b"\x93\xa1t\x06\x80".to_vec(),
            Vec::new(),
        ];
        for cut in 0..text.len() {
            let (mut found, outcome) = frames(text, &[cut]);
            found.retain(|frame| !frame.is_empty());
            assert_eq!((&found[..], outcome), (&expected[..2], Ok(())), "{cut}");
        }
        assert_eq!(frames(text, &[]).0, expected);
    }

    #[test]
    fn what_json_takes_for_no_blank_is_refused_wherever_it_is_cut() {
        let text = b"[\"t\",5,{}]\x0c[\"t\",6,{}]";
        for cut in 0..text.len() {
            let (found, outcome) = frames(text, &[cut]);
            assert_eq!((found.len(), outcome), (1, Err(Reject::NotAFrame)), "{cut}");
        }
    }

    /// Checklist: forward 9.
    #[test]
    fn what_has_been_searched_is_not_searched_again() {
        let record = [b"\x81\xa3log\xa1x".as_slice(); 1000].concat();
        let frame = [b"\x92\xa1t\xdc\x03\xe8".as_slice(), &record].concat();
        let mut bytes = frame.clone();
        let mut framing = Framing::new(bytes.len());
        for end in 1..bytes.len() {
            assert_eq!(framing.next(&bytes[..end]), Ok(None), "{end}");
            // But for the first, which says that it is a frame, and for what may be the beginning of a value.
            let searched = framing.scanner.as_ref().unwrap().least();
            bytes[1..searched.min(end).max(1)].fill(0xc1);
        }
        assert_eq!(framing.next(&bytes), Ok(Some(frame.len())));
        assert!(framing.scanner.is_none(), "nothing is kept between frames");
        assert_eq!(framing.next(&frame), Ok(Some(frame.len())));
    }

    #[test]
    fn a_peer_keeps_to_its_dialect() {
        for (bytes, expected) in [
            (&b"[\"t\",5,{}]\x93\xa1t\x05\x80"[..], Reject::NotAFrame),
            (b"\x93\xa1t\x05\x80[\"t\",5,{}]", Reject::NotAFrame),
            (b"{\"a\":1}", Reject::NotAFrame),
            (b"[\"t\",5,{}]{\"a\":1}", Reject::NotAFrame),
            (b"[nonsense]", Reject::NotJson),
            (b"GET / HTTP/1.1", Reject::NotAFrame),
        ] {
            assert_eq!(frames(bytes, &[]).1, Err(expected), "{bytes:02x?}");
        }
    }

    #[test]
    fn the_limit_counts_for_both() {
        let json = [&b"[\""[..], &[b'x'; 97], b"\"]"].concat();
        let msgpack = [&b"\x91\xd9\x62"[..], &[b'x'; 98]].concat();
        for bytes in [json, msgpack] {
            assert_eq!(bytes.len(), 101);
            assert_eq!(frames(&bytes, &[]).1, Err(Reject::FrameTooLarge));
        }
        assert_eq!(frames(&[b'['; 99], &[]).1, Err(Reject::DepthLimit));
    }

    #[test]
    fn answers_are_in_the_language_of_the_question() {
        let mut framing = Framing::new(100);
        let mut acks = Vec::new();
        framing.acknowledge(Chunk::Bin(&[0xff]), &mut acks);
        assert_eq!(acks, b"\x81\xa3ack\xc4\x01\xff");
        assert_eq!(framing.next(b"["), Ok(None));
        acks.clear();
        framing.acknowledge(Chunk::Str(b"a\"b"), &mut acks);
        assert_eq!(acks, br#"{"ack":"a\"b"}"#);
    }
}
