//! How data are packed before they are sent: gzip, zlib, zstd, snappy.

use std::alloc::{Layout, handle_alloc_error};
use std::fs::File;
use std::io::{self, Write as _};

use flate2::{Compress, FlushCompress, Status};

use crate::config::Settings;

/// The window of deflate, as a power of two.
const WINDOW_BITS: u8 = 15;

/// A way to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zlib,
    Zstd,
    Snappy,
}

impl Compression {
    const NAMES: [(&str, Self); 4] = [
        ("gzip", Self::Gzip),
        ("zlib", Self::Zlib),
        ("zstd", Self::Zstd),
        ("snappy", Self::Snappy),
    ];

    /// The name in settings and in the header `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        let entry = Self::NAMES.iter().find(|(_, known)| *known == self);
        entry.map_or("", |(name, _)| *name)
    }

    /// Reads `compression`, which may be one of `allowed` or `none`; `None` for no compression.
    pub(super) fn read(
        settings: &mut Settings<'_>,
        key: &'static str,
        allowed: &[Self],
        any_case: bool,
    ) -> Option<Self> {
        let text = settings.text(key)?;
        let is = |name: &str| text == name || any_case && name.eq_ignore_ascii_case(&text);
        if is("none") {
            return None;
        }
        let found = allowed.iter().copied().find(|known| is(known.name()));
        if found.is_none() {
            let names: Vec<_> = allowed.iter().map(|known| known.name()).collect();
            settings.error(
                key,
                format!(
                    "{text} is no compression; write {} or leave it out",
                    names.join(", ")
                ),
            );
        }
        found
    }

    /// Reads `compress` as the outputs do that overlook what they do not know: a word of `allowed`, or off.
    pub(super) fn read_or_off(
        settings: &mut Settings<'_>,
        key: &'static str,
        allowed: &[Self],
        default: Option<Self>,
    ) -> Option<Self> {
        const OFF: [&str; 4] = ["none", "off", "false", "no"];
        let Some(text) = settings.text(key) else {
            return default;
        };
        let is = |name: &&str| name.eq_ignore_ascii_case(&text);
        let found = allowed.iter().copied().find(|known| is(&known.name()));
        if found.is_none() && !OFF.iter().any(is) {
            let names: Vec<_> = allowed.iter().map(|known| known.name()).collect();
            let names = names.join(" or ");
            let message = format!("`{text}` is no compression; write {names} or leave it out");
            settings.lapse(key, message, "nothing is compressed");
        }
        found
    }

    /// Something that packs this way, one text after the other.
    pub(super) fn packer(self) -> Packer {
        let level = flate2::Compression::default();
        match self {
            Self::Gzip => Packer::Deflate(Compress::new_gzip(level, WINDOW_BITS)),
            Self::Zlib => Packer::Deflate(Compress::new(level, true)),
            Self::Zstd => {
                let made = zstd::bulk::Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL);
                let out_of_memory = |_| handle_alloc_error(Layout::new::<Packer>());
                Packer::Zstd(Box::new(made.unwrap_or_else(out_of_memory)))
            }
            Self::Snappy => Packer::Snappy(Box::new(snap::raw::Encoder::new())),
        }
    }

    /// Packs all of one file into another. Packed files one behind the other are a packed file.
    ///
    /// # Errors
    /// What reading or writing says.
    pub(super) fn pack_file(self, from: &mut File, to: File) -> io::Result<()> {
        let level = flate2::Compression::default();
        match self {
            Self::Gzip => {
                let mut to = flate2::write::GzEncoder::new(to, level);
                io::copy(from, &mut to)?;
                to.finish()?;
            }
            Self::Zlib => {
                let mut to = flate2::write::ZlibEncoder::new(to, level);
                io::copy(from, &mut to)?;
                to.finish()?;
            }
            Self::Zstd => {
                let mut to = zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                io::copy(from, &mut to)?;
                to.finish()?;
            }
            // The frame format: blocks cannot be read piece by piece, nor put one behind the other.
            Self::Snappy => {
                let mut to = snap::write::FrameEncoder::new(to);
                io::copy(from, &mut to)?;
                to.flush()?;
            }
        }
        Ok(())
    }

    /// Packs one text.
    pub(super) fn pack(self, data: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        self.packer().pack(data, &mut packed);
        packed
    }
}

/// Packs texts, keeping its memory between them.
pub(super) enum Packer {
    Deflate(Compress),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
    Snappy(Box<snap::raw::Encoder>),
}

impl Packer {
    /// Puts the packed text in place of what `packed` held.
    pub(super) fn pack(&mut self, data: &[u8], packed: &mut Vec<u8>) {
        packed.clear();
        let done = match self {
            Self::Deflate(deflate) => self::deflate(deflate, data, packed),
            Self::Zstd(zstd) => {
                packed.reserve(zstd::zstd_safe::compress_bound(data.len()));
                zstd.compress_to_buffer(data, packed).map(|_| ())
            }
            Self::Snappy(snappy) => self::snappy(snappy, data, packed),
        };
        if done.is_err() {
            // There is room for the result, so it is memory that the library does not get: as fatal as anywhere else.
            handle_alloc_error(Layout::for_value(data));
        }
    }
}

fn deflate(deflate: &mut Compress, data: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
    deflate.reset();
    loop {
        packed.reserve(data.len() / 4 + 256);
        let done = deflate.total_in() as usize;
        let rest = data.get(done..).unwrap_or_default();
        if deflate.compress_vec(rest, packed, FlushCompress::Finish)? == Status::StreamEnd {
            return Ok(());
        }
    }
}

fn snappy(snappy: &mut snap::raw::Encoder, data: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
    packed.resize(snap::raw::max_compress_len(data.len()), 0);
    let length = snappy.compress(data, packed)?;
    packed.truncate(length);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use std::io::Read as _;

    fn unpacked(compression: Compression, packed: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        match compression {
            Compression::Gzip => {
                flate2::read::GzDecoder::new(packed)
                    .read_to_end(&mut data)
                    .unwrap();
            }
            Compression::Zlib => {
                flate2::read::ZlibDecoder::new(packed)
                    .read_to_end(&mut data)
                    .unwrap();
            }
            Compression::Zstd => data = zstd::decode_all(packed).unwrap(),
            Compression::Snappy => data = snap::raw::Decoder::new().decompress_vec(packed).unwrap(),
        }
        data
    }

    /// Checklist: outputs 13
    #[test]
    fn every_text_packed_after_another_unpacks_to_itself() {
        let noise: Vec<u8> = (0..200_000).map(|_| fastrand::u8(..)).collect();
        let plain = vec![b'x'; 100_000];
        let texts: [&[u8]; 4] = [b"text\n", b"", &noise, &plain];
        for (name, compression) in Compression::NAMES {
            let mut packer = compression.packer();
            let mut packed = Vec::new();
            for text in texts {
                packer.pack(text, &mut packed);
                assert_eq!(unpacked(compression, &packed), text, "{name}");
                assert!(packed.len() < text.len() + 1024, "{name}");
            }
        }
    }

    #[test]
    fn a_compression_is_named_in_the_case_the_plugin_wants() {
        let read = |word, any_case| {
            configured(&[("compression", word)], |settings| {
                Compression::read(settings, "compression", &[Compression::Gzip], any_case)
            })
        };
        assert_eq!(read("gzip", false), (Some(Compression::Gzip), vec![]));
        assert_eq!(read("GZIP", true), (Some(Compression::Gzip), vec![]));
        assert_eq!(read("none", false), (None, vec![]));
        for (word, any_case) in [("GZIP", false), ("zstd", true), ("arrow", false)] {
            let (compression, problems) = read(word, any_case);
            assert_eq!((compression, problems.len()), (None, 1), "{word}");
        }
    }
}
