//! What a peer sends, without a socket: for benches, fuzz targets and tests.

use super::decode::{self, Events};
use super::framing::Framing;
use super::inflate::Inflater;
use super::message::{self, Body};
use super::reject::Reject;
use super::signal;
use crate::input::Session;

/// Takes the frames of one peer as a connection does, but grants itself all the room that its limit allows.
#[derive(Debug)]
pub struct Replay {
    framing: Framing,
    limit: usize,
    inflated: Vec<u8>,
    answers: Vec<u8>,
}

impl Replay {
    /// Frames and their inflated payloads have at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            framing: Framing::new(limit),
            limit,
            inflated: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Offers the events of every whole frame at the start of `bytes` and gives the length of these frames. What is left has
    /// to come again, with more behind it.
    ///
    /// # Errors
    /// Why the connection would be closed.
    pub fn take(&mut self, bytes: &[u8], session: &mut dyn Session) -> Result<usize, Reject> {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let Some(length) = self.framing.next(rest)? else {
                return Ok(taken);
            };
            taken += length;
            let frame = rest.get(..length).unwrap_or_default();
            let translated = self.framing.translated();
            self.take_frame(translated.as_deref().unwrap_or(frame), session)?;
        }
    }

    /// The acknowledgements that are due.
    pub fn answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answers)
    }

    fn take_frame(&mut self, bytes: &[u8], session: &mut dyn Session) -> Result<(), Reject> {
        if matches!(bytes, [] | [0xc0]) {
            return Ok(());
        }
        let frame = message::frame(bytes)?;
        if self.framing.is_json() && matches!(frame.body, Body::Packed(_)) {
            return Err(Reject::Mode);
        }
        let mut inflated = None;
        if let Some((method, payload)) = decode::compressed(&frame) {
            let mut inflater = Inflater::new(method, payload, self.limit);
            let mut room = inflater.hint()?;
            self.inflated.clear();
            self.inflated.reserve_exact(room);
            while !inflater.run(&mut self.inflated)? {
                room = inflater.more(room.max(self.inflated.capacity()))?;
                self.inflated.reserve_exact(room - self.inflated.len());
            }
            inflated = Some(self.inflated.as_slice());
        }
        if frame.options.foreign_signal {
            return signal::check(&frame, inflated);
        }
        session.tag(frame.tag);
        session.open_frame();
        if let Err(reject) = Events::of(&frame, inflated, self.limit).run(session, usize::MAX) {
            session.refuse_frame();
            return Err(reject);
        }
        if let Some(chunk) = frame.options.chunk {
            self.framing.acknowledge(chunk, &mut self.answers);
        }
        Ok(())
    }
}
