//! From the body of a request to records.

use std::io::Read as _;

use crate::msgpack::read::{self, Value};
use crate::msgpack::write;
use crate::parser::json;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Objects, or arrays of objects.
    Json,
    /// One record of texts.
    Form,
}

impl Kind {
    /// Of this `Content-Type`.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        let name = content_type
            .split(|&byte| byte == b';')
            .next()?
            .trim_ascii();
        if name.eq_ignore_ascii_case(b"application/json") {
            return Some(Self::Json);
        }
        name.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
            .then_some(Self::Form)
    }

    /// The records of a body, one behind the other; `None` if any of it is none.
    pub(super) fn records(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Json => objects(body),
            Self::Form => form(body),
        }
    }
}

fn objects(body: &[u8]) -> Option<Vec<u8>> {
    let (mut records, mut value) = (Vec::new(), Vec::new());
    let mut rest = body.trim_ascii();
    while !rest.is_empty() {
        value.clear();
        let length = json::to_msgpack(rest, &mut value).ok()?;
        rest = rest.get(length..)?.trim_ascii_start();
        match read::value(&value).ok()? {
            (_, Value::Map(_)) => records.extend_from_slice(&value),
            (mut items, Value::Array(count)) => {
                for _ in 0..count {
                    let (behind, item) = read::raw(items).ok()?;
                    let Ok((_, Value::Map(_))) = read::value(item) else {
                        return None;
                    };
                    records.extend_from_slice(item);
                    items = behind;
                }
            }
            _ => return None,
        }
    }
    Some(records)
}

fn form(body: &[u8]) -> Option<Vec<u8>> {
    let count = form_urlencoded::parse(body).count();
    let mut record = Vec::with_capacity(body.len());
    write::map_header(&mut record, u32::try_from(count).ok()?);
    for (key, value) in form_urlencoded::parse(body) {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    (count > 0).then_some(record)
}

/// Inflates a gzip body of at most `limit` bytes; `None` beyond it, and for what is none.
pub(super) fn inflate(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let most = limit as u64 + 1;
    let mut inflater = flate2::read::MultiGzDecoder::new(body).take(most);
    inflater.read_to_end(&mut out).ok()?;
    (out.len() <= limit).then_some(out)
}

/// The tag that a path names; `None` for the root.
pub(super) fn tag(path: &str) -> Option<Vec<u8>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let tag = path.bytes();
    let tag = tag.map(|byte| if is_kept(byte) { byte } else { b'_' });
    (!path.is_empty()).then(|| tag.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_body_is_objects_or_arrays_of_them_and_nothing_else() {
        let (one, two) = (b"\x81\xa1a\x01", b"\x81\xa1b\x02");
        let both = [&one[..], two].concat();
        for (body, expected) in [
            (r#"{"a":1}"#, Some(one.to_vec())),
            (r#" [{"a":1}, {"b":2}] "#, Some(both.clone())),
            ("{\"a\":1}\n[{\"b\":2}]", Some(both)),
            ("[]", Some(vec![])),
            ("{broken", None),
            (r#"[{"a":1}, 2]"#, None),
            (r#"{"a":1} x"#, None),
            ("7", None),
        ] {
            assert_eq!(Kind::Json.records(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_form_is_one_record_of_texts() {
        let record = Kind::Form.records(b"a=1&b=x+y&c=%C3%A9%26");
        assert_eq!(
            record.unwrap(),
            b"\x83\xa1a\xa11\xa1b\xa3x y\xa1c\xa3\xc3\xa9&"
        );
        assert_eq!(Kind::Form.records(b""), None);
    }

    #[test]
    fn content_types_may_have_parameters() {
        assert_eq!(
            Kind::of(b"Application/JSON; charset=utf-8"),
            Some(Kind::Json)
        );
        assert_eq!(
            Kind::of(b"application/x-www-form-urlencoded"),
            Some(Kind::Form)
        );
        assert_eq!(Kind::of(b"application/x-ndjson"), None);
        assert_eq!(Kind::of(b""), None);
    }

    /// Checklist: engine 59
    #[test]
    fn a_path_is_a_tag() {
        for (path, expected) in [
            ("/a/b-c.d", Some("a_b_c.d")),
            ("/", None),
            ("/x_1", Some("x_1")),
        ] {
            assert_eq!(tag(path), expected.map(|tag| tag.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_bomb_costs_its_limit() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert_eq!(
            inflate(&bomb, 1 << 20).map(|text| text.len()),
            Some(1 << 20)
        );
        assert_eq!(inflate(&bomb, (1 << 20) - 1), None);
        assert_eq!(inflate(b"{}", 100), None);
    }
}
