//! Forward frames, prepared once and stamped anew for every write.
//!
//! Building a frame costs far more than the digits that change in it, and on two cores a generator that
//! builds takes its time from the router. So a [`Block`] is the bytes of one `write`, with a list of the
//! places where number, send time, event time and ack id stand. Shapes: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1>.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use crate::error::{Error, Result};
use crate::msgpack;
use crate::random::Random;
use crate::record::{self, Line, MARK_LENGTH, NUMBER, SENT, TextKind};

/// The digits of an ack id; its text is that many hexadecimal digits.
pub(crate) const ACK_ID_LENGTH: usize = 16;
/// How many different texts one connection cycles through; enough that compression finds no whole lines.
const DIFFERENT_LINES: usize = 2048;

/// The four shapes of a forward frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `[tag, time, record, option]`: what Docker's driver sends.
    Message,
    /// `[tag, [[time, record], ...], option]`.
    Forward,
    /// `[tag, bin of entries, option]`.
    Packed,
    /// Packed, and the entries compressed.
    Gzip,
}

impl Mode {
    /// Reads `message`, `forward`, `packed` or `gzip`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "message" => Ok(Self::Message),
            "forward" => Ok(Self::Forward),
            "packed" => Ok(Self::Packed),
            "gzip" => Ok(Self::Gzip),
            _ => Err(Error::Value {
                text: text.to_owned(),
                wanted: "message, forward, packed or gzip",
            }),
        }
    }

    /// The name that [`Mode::parse`] reads.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Forward => "forward",
            Self::Packed => "packed",
            Self::Gzip => "gzip",
        }
    }
}

/// What all frames of one connection have in common.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    mode: Mode,
    tag: String,
    /// Records take turns in so many tags; 1 is the tag alone.
    tags: u64,
    connection: u32,
    container_id: String,
    lines: Vec<Line>,
    ack: bool,
    level: u32,
}

/// The bytes of one `write`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// What goes on the wire.
    pub(crate) bytes: Vec<u8>,
    /// How many records are in it.
    pub(crate) records: u64,
    /// How many frames are in it: one ack is owed for each when acks are asked for.
    pub(crate) frames: u64,
    slots: Vec<Slot>,
    ack_ids: Vec<usize>,
}

/// Where the changing parts of one record stand in its block.
#[derive(Debug, Clone, Copy)]
struct Slot {
    mark: usize,
    event_time: usize,
}

impl Blueprint {
    /// Prepares the texts of one connection; `level` is the gzip level, 1 to 9.
    pub(crate) fn new(
        (mode, kind, size): (Mode, TextKind, usize),
        (tag, connection): (String, u32),
        ack: bool,
        level: u32,
    ) -> Result<Self> {
        let container_id = Random::new(u64::from(connection) ^ 0xc0_ffee).hex(64);
        // Few long lines do as well as many short ones, and keep the memory of a load of huge lines small.
        let different = ((64 << 20) / size.max(1)).clamp(1, DIFFERENT_LINES);
        let lines = record::lines(kind, size, connection, different)?;
        Ok(Self {
            mode,
            tag,
            tags: 1,
            connection,
            container_id,
            lines,
            ack,
            level,
        })
    }

    /// Spreads the records over so many tags, in message mode.
    pub(crate) fn over(mut self, tags: u64) -> Self {
        self.tags = tags;
        self
    }

    /// Whether a block serves for other numbers, too, when it is stamped anew.
    pub(crate) fn is_reusable(&self) -> bool {
        self.tags == 1
    }

    /// Builds a block of `records` records, with the texts from number `first` on.
    pub(crate) fn block(&self, first: u64, records: u64) -> Block {
        match self.mode {
            Mode::Message => self.messages(first, records),
            Mode::Forward => self.forward(first, records),
            Mode::Packed => self.packed(first, records),
            Mode::Gzip => Block::default(),
        }
    }

    /// Builds one finished gzip frame with the numbers from `first` on; its send times are unknown.
    pub(crate) fn gzip_frame(&self, first: u64, records: u64, now: u64) -> Result<Block> {
        let mut entries = Block::default();
        self.entries(&mut entries, first, records);
        entries.stamp(first, 0, now);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(self.level));
        encoder
            .write_all(&entries.bytes)
            .map_err(Error::io("compress a frame"))?;
        let packed = encoder.finish().map_err(Error::io("compress a frame"))?;
        let mut block = self.frame_start();
        msgpack::binary(&mut block.bytes, &packed);
        self.option(&mut block, Some(records), true);
        block.records = records;
        Ok(block)
    }

    fn messages(&self, first: u64, records: u64) -> Block {
        let mut block = Block {
            records,
            ..Block::default()
        };
        for number in first..first + records {
            msgpack::array(&mut block.bytes, 4);
            if self.tags == 1 {
                msgpack::text(&mut block.bytes, self.tag.as_bytes());
            } else {
                // Equally long, as the frames of a block are.
                let tag = format!("{}.{:05}", self.tag, number % self.tags);
                msgpack::text(&mut block.bytes, tag.as_bytes());
            }
            self.event(&mut block, number);
            self.option(&mut block, None, false);
        }
        block
    }

    fn forward(&self, first: u64, records: u64) -> Block {
        let mut block = self.frame_start();
        msgpack::array(&mut block.bytes, records as u32);
        self.entries(&mut block, first, records);
        self.option(&mut block, Some(records), false);
        block
    }

    fn packed(&self, first: u64, records: u64) -> Block {
        let mut entries = Block::default();
        self.entries(&mut entries, first, records);
        let mut block = self.frame_start();
        msgpack::binary(&mut block.bytes, &entries.bytes);
        let shift = block.bytes.len() - entries.bytes.len();
        let moved = |slot: &Slot| Slot {
            mark: slot.mark + shift,
            event_time: slot.event_time + shift,
        };
        block.slots = entries.slots.iter().map(moved).collect();
        block.records = records;
        self.option(&mut block, Some(records), false);
        block
    }

    fn frame_start(&self) -> Block {
        let mut block = Block::default();
        msgpack::array(&mut block.bytes, 3);
        msgpack::text(&mut block.bytes, self.tag.as_bytes());
        block
    }

    fn entries(&self, block: &mut Block, first: u64, records: u64) {
        for number in first..first + records {
            msgpack::array(&mut block.bytes, 2);
            self.event(block, number);
        }
        block.records = records;
    }

    /// Time and record, the way Docker's driver fills them in.
    fn event(&self, block: &mut Block, number: u64) {
        let out = &mut block.bytes;
        msgpack::event_time(out, 0);
        let event_time = out.len() - 8;
        msgpack::small_map(out, 4);
        msgpack::text(out, b"container_id");
        msgpack::text(out, self.container_id.as_bytes());
        msgpack::text(out, b"container_name");
        msgpack::text(
            out,
            format!("/ecs-bench-1-app{}-c0ffee0ddba11ad00d00", self.connection).as_bytes(),
        );
        msgpack::text(out, b"source");
        msgpack::text(out, b"stdout");
        msgpack::text(out, b"log");
        let Some(line) = self.lines.get(number as usize % self.lines.len()) else {
            return;
        };
        msgpack::text(out, &line.text);
        block.slots.push(Slot {
            mark: out.len() - line.text.len() + line.mark,
            event_time,
        });
    }

    fn option(&self, block: &mut Block, size: Option<u64>, compressed: bool) {
        let out = &mut block.bytes;
        msgpack::small_map(
            out,
            u8::from(size.is_some()) + u8::from(compressed) + u8::from(self.ack),
        );
        if let Some(size) = size {
            msgpack::text(out, b"size");
            msgpack::unsigned(out, size as u32);
        }
        if compressed {
            msgpack::text(out, b"compressed");
            msgpack::text(out, b"gzip");
        }
        if self.ack {
            msgpack::text(out, b"chunk");
            msgpack::text(out, &[b'0'; ACK_ID_LENGTH]);
            block.ack_ids.push(out.len() - ACK_ID_LENGTH);
        }
        block.frames += 1;
    }
}

impl Block {
    /// Writes numbers from `first` on, the send time and the event time into every record.
    pub(crate) fn stamp(&mut self, first: u64, sent: u64, event_time: u64) {
        let mut sent_digits = [0; SENT.end - SENT.start];
        record::write_digits(&mut sent_digits, sent);
        let time_bytes = msgpack::event_time_bytes(event_time);
        for (number, slot) in (first..).zip(&self.slots) {
            if let Some(mark) = self.bytes.get_mut(slot.mark..slot.mark + MARK_LENGTH) {
                let (head, tail) = mark.split_at_mut(SENT.start);
                record::write_digits(head.get_mut(NUMBER).unwrap_or_default(), number);
                tail.copy_from_slice(&sent_digits);
            }
            if let Some(time) = self.bytes.get_mut(slot.event_time..slot.event_time + 8) {
                time.copy_from_slice(&time_bytes);
            }
        }
    }

    /// Gives every frame its own ack id, counting up from `first`.
    pub(crate) fn stamp_ack_ids(&mut self, first: u64) {
        for (id, at) in (first..).zip(&self.ack_ids) {
            if let Some(slot) = self.bytes.get_mut(*at..at + ACK_ID_LENGTH) {
                slot.copy_from_slice(&ack_id(id));
            }
        }
    }

    /// How many records are complete within the first `bytes` bytes.
    pub(crate) fn records_within(&self, bytes: usize) -> u64 {
        if bytes >= self.bytes.len() {
            return self.records;
        }
        // Message frames have equal lengths; every other shape is one frame, whole or not.
        if self.frames == self.records {
            (bytes / self.frame_length().max(1)) as u64
        } else {
            0
        }
    }

    /// Bytes of one frame; the frames of a block are equally long.
    pub(crate) fn frame_length(&self) -> usize {
        self.bytes.len() / self.frames.max(1) as usize
    }
}

/// The text of an ack id.
pub(crate) fn ack_id(id: u64) -> [u8; ACK_ID_LENGTH] {
    let mut text = [0; ACK_ID_LENGTH];
    record::write_digits(&mut text, id);
    text
}

/// The answer that acknowledges one id: `{"ack": id}`.
pub(crate) fn ack_answer(id: u64) -> Vec<u8> {
    let mut answer = Vec::with_capacity(ACK_ID_LENGTH + 6);
    msgpack::small_map(&mut answer, 1);
    msgpack::text(&mut answer, b"ack");
    msgpack::text(&mut answer, &ack_id(id));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Mark;
    use crate::stats::approx;
    use std::io::Read;

    fn blueprint(mode: Mode, ack: bool) -> Blueprint {
        Blueprint::new((mode, TextKind::Access, 300), ("app".to_owned(), 2), ack, 6).unwrap()
    }

    fn marks(bytes: &[u8]) -> Vec<Mark> {
        record::marks(bytes).collect()
    }

    #[test]
    fn records_take_turns_in_their_tags() {
        let block = blueprint(Mode::Message, false).over(3).block(2, 4);
        let text = String::from_utf8_lossy(&block.bytes);
        let tags: Vec<&str> = text
            .match_indices("app.0")
            .filter_map(|(at, _)| text.get(at..at + 9))
            .collect();
        assert_eq!(tags, ["app.00002", "app.00000", "app.00001", "app.00002"]);
    }

    #[test]
    fn a_block_is_stamped_with_numbers_and_times_in_every_mode() {
        for mode in [Mode::Message, Mode::Forward, Mode::Packed] {
            let mut block = blueprint(mode, false).block(0, 20);
            block.stamp(100, 7, 1_700_000_000_000_000_005);
            let expected: Vec<Mark> = (100..120)
                .map(|number| Mark {
                    connection: 2,
                    number,
                    sent: 7,
                })
                .collect();
            assert_eq!(marks(&block.bytes), expected, "{mode:?}");
            let time = [0xd7, 0, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 5];
            assert_eq!(
                block
                    .bytes
                    .windows(10)
                    .filter(|window| *window == time)
                    .count(),
                20,
                "{mode:?}"
            );
        }
    }

    #[test]
    fn a_gzip_frame_holds_its_numbers_and_shrinks_plausibly() {
        let blueprint = Blueprint::new(
            (Mode::Gzip, TextKind::Access, 1024),
            ("app".to_owned(), 0),
            false,
            6,
        )
        .unwrap();
        let block = blueprint.gzip_frame(500, 1000, 1).unwrap();
        let start = block
            .bytes
            .windows(2)
            .position(|window| window == [0x1f, 0x8b])
            .unwrap();
        let mut entries = Vec::new();
        flate2::read::GzDecoder::new(&block.bytes[start..])
            .read_to_end(&mut entries)
            .unwrap();
        let numbers: Vec<u64> = marks(&entries).iter().map(|mark| mark.number).collect();
        assert_eq!(numbers, (500..1500).collect::<Vec<_>>());
        let factor = approx(entries.len() as u64) / approx(block.bytes.len() as u64);
        assert!((4.0..7.0).contains(&factor), "compressed {factor} times");
    }

    #[test]
    fn only_complete_records_count_as_accepted() {
        let block = blueprint(Mode::Message, false).block(0, 10);
        let frame = block.bytes.len() / 10;
        assert_eq!(block.records_within(0), 0);
        assert_eq!(block.records_within(3 * frame - 1), 2);
        assert_eq!(block.records_within(10 * frame), 10);
        let block = blueprint(Mode::Packed, false).block(0, 10);
        assert_eq!(block.records_within(block.bytes.len() - 1), 0);
    }

    #[test]
    fn every_frame_of_a_block_asks_for_its_own_ack() {
        let mut block = blueprint(Mode::Message, true).block(0, 3);
        block.stamp_ack_ids(9);
        for id in 9..12 {
            let answer = ack_answer(id);
            let text = answer.split_at(5).1;
            assert_eq!(
                block
                    .bytes
                    .windows(text.len())
                    .filter(|window| *window == text)
                    .count(),
                1
            );
        }
        assert_eq!(block.frames, 3);
    }

    #[test]
    fn a_message_frame_is_what_docker_sends() {
        let block = blueprint(Mode::Message, false).block(0, 1);
        assert!(block.bytes.starts_with(b"\x94\xa3app\xd7\x00"));
        assert!(block.bytes.ends_with(b"\x80"));
    }
}
