//! Decompression of packed payloads, in steps, so that no room is taken before there is a permit for it.
//!
//! Members (gzip) and frames (zstd) may stand one behind the other; their contents are joined. Checksums are verified.

use std::io::Read as _;

use flate2::bufread::GzDecoder;
use zstd::zstd_safe;

use super::reject::Reject;

/// What logs shrink to, about: a payload's room is guessed with it where nothing says how large it will be.
const RATIO: usize = 8;
/// The least room worth asking for.
const LEAST: usize = 4096;
/// The largest window of zstd: what RFC 8878 asks of a decoder, and what all levels but the "ultra" ones keep to.
const WINDOW_MAX: u64 = 8 << 20;
/// zstd's code for a room that does not suffice, `ZSTD_error_dstSize_tooSmall`, as its functions return it.
const ZSTD_TOO_SMALL: usize = 0_usize.wrapping_sub(70);

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Any number of gzip members, RFC 1952.
    Gzip,
    /// Any number of zstd frames, RFC 8878.
    Zstd,
}

impl Method {
    /// The method that clients call so.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The method by which a payload seems to be compressed.
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        match payload {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Decompresses one payload into at most `limit` bytes.
pub(super) struct Inflater<'p> {
    source: Source<'p>,
    limit: usize,
}

enum Source<'p> {
    Gzip {
        member: Box<GzDecoder<&'p [u8]>>,
        /// A byte that had no room.
        left_over: Option<u8>,
    },
    /// Decoded as a whole: what was written is the window then, and none is allocated.
    Zstd(&'p [u8]),
}

impl<'p> Inflater<'p> {
    /// Begins.
    pub(super) fn new(method: Method, payload: &'p [u8], limit: usize) -> Self {
        let source = match method {
            Method::Gzip => Source::Gzip {
                member: Box::new(GzDecoder::new(payload)),
                left_over: None,
            },
            Method::Zstd => Source::Zstd(payload),
        };
        Self { source, limit }
    }

    /// How much room to begin with: what the payload claims to need where it does, a guess otherwise, and never beyond the limit.
    ///
    /// # Errors
    /// [`Reject::InflatedTooLarge`] when it claims more than the limit; [`Reject::Damaged`] when it is none.
    pub(super) fn hint(&self) -> Result<usize, Reject> {
        let claimed = match &self.source {
            Source::Gzip { member, .. } => gzip_claim(member.get_ref()),
            Source::Zstd(payload) => zstd_claim(payload)?,
        };
        match claimed {
            Claim::Exact(size) if size > self.limit as u64 => Err(Reject::InflatedTooLarge),
            Claim::Exact(size) => Ok(size as usize),
            Claim::Guess(size) => Ok(size.max(LEAST).min(self.limit)),
        }
    }

    /// Fills the room that `out` has; whether the payload is through. If not, it goes on with more room
    /// ([`Inflater::more`]).
    ///
    /// # Errors
    /// [`Reject::Damaged`] on anything but whole, sound members or frames.
    pub(super) fn run(&mut self, out: &mut Vec<u8>) -> Result<bool, Reject> {
        match &mut self.source {
            Source::Gzip { member, left_over } => gunzip(member, left_over, out),
            Source::Zstd(payload) => unzstd(payload, out),
        }
    }

    /// The room to go on with when `room` did not suffice.
    ///
    /// # Errors
    /// [`Reject::InflatedTooLarge`] when that was all there is.
    pub(super) fn more(&self, room: usize) -> Result<usize, Reject> {
        if room >= self.limit {
            return Err(Reject::InflatedTooLarge);
        }
        Ok(room
            .saturating_mul(4)
            .clamp(LEAST, self.limit.max(LEAST))
            .min(self.limit))
    }
}

/// What a payload says about its size.
enum Claim {
    Exact(u64),
    Guess(usize),
}

/// The trailer tells the size of the last member, which mostly is the only one.
fn gzip_claim(payload: &[u8]) -> Claim {
    let last = payload
        .last_chunk::<4>()
        .map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let most = payload.len().saturating_mul(1032);
    Claim::Guess(last.max(payload.len()).min(most))
}

/// The sum of what the frames say, if all do.
fn zstd_claim(payload: &[u8]) -> Result<Claim, Reject> {
    let (mut rest, mut sum) = (payload, Some(0_u64));
    while !rest.is_empty() {
        let length = zstd_safe::find_frame_compressed_size(rest).map_err(|_| Reject::Damaged)?;
        if zstd_window(rest) > WINDOW_MAX {
            return Err(Reject::Damaged);
        }
        let size = zstd_safe::get_frame_content_size(rest).map_err(|_| Reject::Damaged)?;
        sum = sum.zip(size).map(|(sum, size)| sum.saturating_add(size));
        rest = rest.get(length..).ok_or(Reject::Damaged)?;
    }
    Ok(sum.map_or(
        Claim::Guess(payload.len().saturating_mul(RATIO)),
        Claim::Exact,
    ))
}

/// The window that the frame at the start of `payload` asks for; 0 where its content is the window, or it is to be skipped.
fn zstd_window(payload: &[u8]) -> u64 {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    match payload {
        [0x28, 0xb5, 0x2f, 0xfd, flags, window, ..] if flags & SINGLE_SEGMENT == 0 => {
            let base = 1 << (10 + (window >> 3));
            base + base / 8 * u64::from(window & 7)
        }
        _ => 0,
    }
}

fn gunzip(
    member: &mut GzDecoder<&[u8]>,
    left_over: &mut Option<u8>,
    out: &mut Vec<u8>,
) -> Result<bool, Reject> {
    out.extend(left_over.take());
    loop {
        let room = out.capacity() - out.len();
        member
            .take(room as u64)
            .read_to_end(out)
            .map_err(|_| Reject::Damaged)?;
        if out.len() == out.capacity() {
            // Whether the member ends here, and with the right checksum, shows only in the attempt to read on.
            let mut next = [0];
            if member.read(&mut next).map_err(|_| Reject::Damaged)? > 0 {
                *left_over = next.first().copied();
                return Ok(false);
            }
        }
        let behind = *member.get_ref();
        if behind.is_empty() {
            return Ok(true);
        }
        *member = GzDecoder::new(behind);
    }
}

fn unzstd(payload: &[u8], out: &mut Vec<u8>) -> Result<bool, Reject> {
    if payload.is_empty() {
        return Err(Reject::Damaged);
    }
    out.clear();
    match zstd_safe::decompress(out, payload) {
        Ok(_) => Ok(true),
        Err(ZSTD_TOO_SMALL) => Ok(false),
        Err(_) => Err(Reject::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame that says how large its content is.
    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 3).unwrap()
    }

    /// A frame that does not, as it comes from a stream; with a checksum.
    fn zstd_stream(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Inflates as a connection does; the content and the most room it had.
    fn inflate(payload: &[u8], limit: usize) -> Result<(Vec<u8>, usize), Reject> {
        let method = Method::of(payload).unwrap_or(Method::Gzip);
        let mut inflater = Inflater::new(method, payload, limit);
        let mut room = inflater.hint()?;
        let mut out = Vec::with_capacity(room);
        while !inflater.run(&mut out)? {
            room = inflater.more(room)?;
            out.reserve_exact(room - out.len());
        }
        Ok((out, room))
    }

    #[test]
    fn members_and_frames_are_joined_and_anything_behind_them_is_refused() {
        for compress in [gzip, zstd, zstd_stream] {
            let mut payload = compress(b"one ");
            payload.extend(compress(b""));
            payload.extend(compress(b"two"));
            assert_eq!(inflate(&payload, 100).unwrap().0, b"one two");
            payload.push(0);
            assert_eq!(inflate(&payload, 100), Err(Reject::Damaged));
        }
    }

    #[test]
    fn frames_of_zstd_that_are_to_be_skipped_are() {
        let mut payload = zstd(b"one");
        payload.extend(b"\x50\x2a\x4d\x18\x03\0\0\0abc");
        payload.extend(zstd(b"two"));
        assert_eq!(inflate(&payload, 100).unwrap().0, b"onetwo");
    }

    #[test]
    fn a_bomb_costs_its_limit() {
        for compress in [gzip, zstd, zstd_stream] {
            let bomb = compress(&vec![0; 1_000_000]);
            assert_eq!(inflate(&bomb, 1000), Err(Reject::InflatedTooLarge));
            assert_eq!(inflate(&bomb, 999_999), Err(Reject::InflatedTooLarge));
            assert_eq!(inflate(&bomb, 1_000_000).unwrap().0.len(), 1_000_000);
        }
    }

    /// Checklist: forward 54.
    #[test]
    fn room_follows_what_comes_and_not_what_is_claimed() {
        let mut payload = gzip(&vec![7; 300_000]);
        payload.extend(gzip(b"x"));
        let (out, room) = inflate(&payload, 1 << 30).unwrap();
        assert_eq!(out.len(), 300_001);
        assert!(room < 4 * 300_001, "{room}");
        // A window of 2 GiB, no size, and no block.
        assert_eq!(
            inflate(b"\x28\xb5\x2f\xfd\x00\xf8", 1000),
            Err(Reject::Damaged)
        );
        // A size of 2^62.
        let huge = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x40\x01\0\0";
        assert_eq!(inflate(huge, 1000), Err(Reject::InflatedTooLarge));
    }

    #[test]
    fn a_wrong_checksum_and_a_cut_are_damage() {
        let mut payload = gzip(b"text");
        let crc = payload.len() - 8;
        payload[crc] ^= 1;
        assert_eq!(inflate(&payload, 100), Err(Reject::Damaged));
        let mut payload = zstd_stream(b"text");
        *payload.last_mut().unwrap() ^= 1;
        assert_eq!(inflate(&payload, 100), Err(Reject::Damaged));
        for compress in [gzip, zstd, zstd_stream] {
            let payload = compress(b"some text");
            for length in 4..payload.len() {
                assert_eq!(inflate(&payload[..length], 100), Err(Reject::Damaged));
            }
        }
        for method in [Method::Gzip, Method::Zstd] {
            let outcome = Inflater::new(method, b"", 100).run(&mut Vec::new());
            assert_eq!(outcome, Err(Reject::Damaged));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_compressed_in_parts_comes_out(
            parts in proptest::collection::vec(proptest::collection::vec(0..4u8, 0..3000), 1..5),
            streamed in proptest::bool::ANY,
        ) {
            let content = parts.concat();
            let other: fn(&[u8]) -> Vec<u8> = if streamed { zstd_stream } else { zstd };
            for compress in [gzip, other] {
                let payload: Vec<u8> = parts.iter().flat_map(|part| compress(part)).collect();
                let (out, _) = inflate(&payload, content.len()).unwrap();
                proptest::prop_assert_eq!(&out, &content);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            for magic in [&b""[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"] {
                let _outcome = inflate(&[magic, &bytes].concat(), 1000);
            }
        }
    }
}
