//! One event, one request: body and headers are values of the record.
//!
//! ```text
//! body between encode and send    headers length u32 │ headers, a msgpack map │ text
//! ```

use bytes::Bytes;

use crate::accessor::Accessor;
use crate::config::Settings;
use crate::event::DropReason;
use crate::msgpack::read::{self, Value};
use crate::output::compression::Compression;
use crate::output::{Encoded, Item};

/// Where in the record body and headers are.
#[derive(Debug)]
pub(super) struct Single {
    body: Accessor,
    headers: Accessor,
    compress: Option<Compression>,
}

impl Single {
    /// Reads `body_key` and `headers_key`, which belong together; `None` when they are not there.
    pub(super) fn read(settings: &mut Settings<'_>, compress: Option<Compression>) -> Option<Self> {
        let given = (settings.text("body_key"), settings.text("headers_key"));
        let (body, headers) = match given {
            (None, None) => return None,
            (Some(body), Some(headers)) => (body, headers),
            (body, _) => {
                let key = if body.is_some() {
                    "body_key"
                } else {
                    "headers_key"
                };
                settings.error(key, "body_key and headers_key belong together; give both");
                return None;
            }
        };
        let mut accessor = |key, text: &str| match Accessor::new(text) {
            Ok(accessor) => Some(accessor),
            Err(error) => {
                settings.error(key, error.to_string());
                None
            }
        };
        Some(Self {
            body: accessor("body_key", &body)?,
            headers: accessor("headers_key", &headers)?,
            compress,
        })
    }

    /// Takes one event that can be sent, and those before it that cannot.
    pub(super) fn encode(
        &self,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut out: Vec<u8>,
    ) -> Encoded {
        let mut encoded = Encoded::default();
        for item in items {
            encoded.consumed += 1;
            if let Some((headers, body)) = self.parts(item.event.record) {
                out.extend_from_slice(&(headers.len() as u32).to_le_bytes());
                out.extend_from_slice(headers);
                match self.compress {
                    Some(compression) => out.extend_from_slice(&compression.pack(body)),
                    None => out.extend_from_slice(body),
                }
                break;
            }
            let place = encoded.consumed - 1;
            encoded.refused.push((place, DropReason::KeyMissing));
        }
        encoded.body = out.into();
        encoded
    }

    fn parts<'r>(&self, record: &'r [u8]) -> Option<(&'r [u8], &'r [u8])> {
        let headers = self.headers.find_in(record)?;
        let is_map = matches!(read::value(headers), Ok((_, Value::Map(_))));
        let body = read::text(self.body.find_in(record)?)?;
        is_map.then_some((headers, body))
    }

    /// Headers and body of what [`Single::encode`] has written.
    pub(super) fn split(encoded: &Bytes) -> (Bytes, Bytes) {
        let length = encoded
            .first_chunk()
            .map_or(0, |length| u32::from_le_bytes(*length));
        let body = 4 + length as usize;
        if body > encoded.len() {
            return (Bytes::new(), Bytes::new());
        }
        (encoded.slice(4..body), encoded.slice(body..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::{Event, EventTime, Tag};

    #[test]
    fn an_event_gives_its_body_and_headers_or_is_refused() {
        let properties = [("body_key", "$b"), ("headers_key", "$h['in']")];
        let (single, _) = configured(&properties, |settings| Single::read(settings, None));
        let tag = Tag::new(b"a");
        let records: [&[u8]; 4] = [
            b"\x81\xa1b\xa1x",
            b"\x82\xa1b\x05\xa1h\x81\xa2in\x80",
            b"\x82\xa1b\xa1x\xa1h\x81\xa2in\x81\xa1k\xa1v",
            b"\x80",
        ];
        let mut items = records.iter().map(|record| Item {
            tag: &tag,
            event: Event {
                time: EventTime::default(),
                metadata: &[],
                record,
            },
        });
        let encoded = single.unwrap().encode(&mut items, Vec::new());
        let missing = DropReason::KeyMissing;
        assert_eq!((encoded.consumed, encoded.taken()), (3, 1));
        assert_eq!(encoded.refused, [(0, missing), (1, missing)]);
        let (headers, body) = Single::split(&encoded.body);
        assert_eq!(
            (&headers[..], &body[..]),
            (&b"\x81\xa1k\xa1v"[..], &b"x"[..])
        );
    }
}
