//! Values for people.

use std::io::{self, Write as _};

use super::read::{self, Pairs, Value};

/// Appends a value as Fluent Bit prints it, `{"key"=>"value", "f"=>1.500000, "n"=>nil}`, and gives what follows it.
///
/// Text stands between its quotes as it is. The depth is bounded, see [`super::scan::MAX_DEPTH`].
pub fn print<'v>(value: &'v [u8], out: &mut Vec<u8>) -> &'v [u8] {
    let Ok((rest, value)) = read::value(value) else {
        out.extend_from_slice(b"nil");
        return &[];
    };
    let _infallible = match value {
        Value::Nil => out.write_all(b"nil"),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Unsigned(number) => write!(out, "{number}"),
        Value::Signed(number) => write!(out, "{number}"),
        Value::Float(number) if number.is_nan() => out.write_all(b"nan"),
        Value::Float(number) => write!(out, "{number:.6}"),
        Value::Str(text) => out
            .write_all(b"\"")
            .and_then(|()| out.write_all(text))
            .and_then(|()| out.write_all(b"\"")),
        Value::Bin(bytes) => print_bytes(bytes, out),
        Value::Ext(kind, bytes) => {
            write!(out, "(ext: {kind})").and_then(|()| print_bytes(bytes, out))
        }
        Value::Array(count) => return print_array(rest, count, out),
        Value::Map(count) => return print_map(rest, count, out),
    };
    rest
}

/// Bytes in quotes, those that cannot be printed as `\xNN`.
fn print_bytes(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b' '..=b'~' => out.push(byte),
            _ => write!(out, "\\x{byte:02x}")?,
        }
    }
    out.write_all(b"\"")
}

fn print_array<'v>(mut rest: &'v [u8], count: u32, out: &mut Vec<u8>) -> &'v [u8] {
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        rest = print(rest, out);
    }
    out.push(b']');
    rest
}

fn print_map<'v>(rest: &'v [u8], count: u32, out: &mut Vec<u8>) -> &'v [u8] {
    out.push(b'{');
    let mut pairs = Pairs::inside(rest, count);
    let mut first = true;
    for (key, value) in pairs.by_ref() {
        if !first {
            out.extend_from_slice(b", ");
        }
        first = false;
        print(key, out);
        out.extend_from_slice(b"=>");
        print(value, out);
    }
    out.push(b'}');
    pairs.rest()
}
