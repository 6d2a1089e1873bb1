//! Reads msgpack into the JSON that the vectors are written in. Shares nothing with the decoders under test.

use serde_json::{Map, Value, json};

/// Integers beyond this are no JSON numbers for everybody.
const EXACT_MAX: i128 = (1 << 53) - 1;

/// Takes one value off the front.
pub(crate) fn value(bytes: &mut &[u8]) -> Value {
    let marker = take(bytes, 1)[0];
    match marker {
        0x00..=0x7f => json!(marker),
        0x80..=0x8f => map(bytes, usize::from(marker & 15)),
        0x90..=0x9f => array(bytes, usize::from(marker & 15)),
        0xa0..=0xbf => str(take(bytes, usize::from(marker & 31))),
        0xc0 => Value::Null,
        0xc1 => panic!("0xc1 is reserved"),
        0xc2 | 0xc3 => json!(marker == 0xc3),
        0xc4..=0xc6 => {
            let length = number(bytes, 1 << (marker - 0xc4));
            json!({ "$bin": base64(take(bytes, length as usize)) })
        }
        0xc7..=0xc9 => {
            let length = number(bytes, 1 << (marker - 0xc7));
            ext(bytes, length as usize)
        }
        0xca => float(f64::from(f32::from_bits(number(bytes, 4) as u32))),
        0xcb => float(f64::from_bits(number(bytes, 8))),
        0xcc..=0xcf => integer(i128::from(number(bytes, 1 << (marker - 0xcc)))),
        0xd0..=0xd3 => {
            let size = 1 << (marker - 0xd0);
            let unused = 64 - 8 * size;
            let signed = (number(bytes, size) << unused).cast_signed() >> unused;
            integer(i128::from(signed))
        }
        0xd4..=0xd8 => ext(bytes, 1 << (marker - 0xd4)),
        0xd9..=0xdb => {
            let length = number(bytes, 1 << (marker - 0xd9));
            str(take(bytes, length as usize))
        }
        0xdc | 0xdd => {
            let count = number(bytes, 2 << (marker - 0xdc));
            array(bytes, count as usize)
        }
        0xde | 0xdf => {
            let count = number(bytes, 2 << (marker - 0xde));
            map(bytes, count as usize)
        }
        0xe0..=0xff => json!(marker.cast_signed()),
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn number(bytes: &mut &[u8], size: usize) -> u64 {
    let digits = take(bytes, size).iter();
    digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn integer(number: i128) -> Value {
    match i64::try_from(number) {
        Ok(small) if number.abs() <= EXACT_MAX => json!(small),
        _ => json!({ "$int": number.to_string() }),
    }
}

fn float(number: f64) -> Value {
    if number.is_nan() {
        json!({ "$float": "nan" })
    } else if number.is_infinite() {
        json!({ "$float": if number > 0.0 { "inf" } else { "-inf" } })
    } else {
        json!(number)
    }
}

fn str(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "$str_b64": base64(bytes) }),
    }
}

fn ext(bytes: &mut &[u8], length: usize) -> Value {
    let kind = take(bytes, 1)[0].cast_signed();
    json!({ "$ext": [kind, base64(take(bytes, length))] })
}

fn array(bytes: &mut &[u8], count: usize) -> Value {
    (0..count).map(|_| value(bytes)).collect()
}

fn map(bytes: &mut &[u8], count: usize) -> Value {
    let pairs: Vec<_> = (0..count).map(|_| (value(bytes), value(bytes))).collect();
    let mut object = Map::new();
    for (key, value) in &pairs {
        match key {
            Value::String(key) if !key.starts_with('$') && !object.contains_key(key) => {
                object.insert(key.clone(), value.clone());
            }
            _ => return json!({ "$map": pairs }),
        }
    }
    object.into()
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}
