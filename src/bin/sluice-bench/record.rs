//! The texts that the load sends, and the mark that the sink finds in them again.
//!
//! Every text carries one mark near its start:
//!
//! ```text
//! seq=<connection, 3 digits>.<number, 10 digits>.<send time, 19 digits: nanoseconds since 1970>
//! ```
//!
//! It holds only characters that no JSON encoder escapes, so it survives `log_key log`, whole records,
//! and base64 alike, and its width is fixed, so a prepared text is re-used by writing over the digits.
//! A send time of 0 says that the time is not known (frames that were compressed beforehand).

use std::sync::LazyLock;

use memchr::memmem;

use crate::error::{Error, Result};
use crate::random::Random;

/// How many bytes a mark takes.
pub(crate) const MARK_LENGTH: usize = 38;
/// The number's place within a mark.
pub(crate) const NUMBER: std::ops::Range<usize> = 8..18;
/// The send time's place within a mark.
pub(crate) const SENT: std::ops::Range<usize> = 19..38;
const PREFIX: &[u8] = b"seq=";
/// Prepared once: building a searcher costs more than searching a line.
static PREFIX_FINDER: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(PREFIX));

/// What a sink reads out of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Which connection of the load sent the text.
    pub(crate) connection: u32,
    /// Its number on that connection, from 0.
    pub(crate) number: u64,
    /// When it was sent, nanoseconds since 1970; 0 when unknown.
    pub(crate) sent: u64,
}

/// Finds every mark in a text, in order.
pub(crate) fn marks(text: &[u8]) -> impl Iterator<Item = Mark> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = PREFIX_FINDER.find(rest)?;
            rest = rest.get(at + PREFIX.len()..)?;
            if let Some(mark) = read_mark(rest) {
                return Some(mark);
            }
        }
    })
}

fn read_mark(text: &[u8]) -> Option<Mark> {
    let (connection, rest) = read_digits(text)?;
    let (number, rest) = read_digits(rest.strip_prefix(b".")?)?;
    let (sent, _) = read_digits(rest.strip_prefix(b".")?)?;
    Some(Mark {
        connection: u32::try_from(connection).ok()?,
        number,
        sent,
    })
}

fn read_digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text
        .iter()
        .take(20)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = text.split_at_checked(length)?;
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    (length > 0).then_some((number, rest))
}

/// Fills `slot` with the decimal digits of `number`, zeros in front.
pub(crate) fn write_digits(slot: &mut [u8], mut number: u64) {
    for digit in slot.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The kinds of text a load can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// Words.
    Plain,
    /// Lines of a web server's access log; with quotes, which JSON must escape.
    Access,
    /// A JSON object, as structured loggers write it.
    Json,
    /// Lines of Java's stack traces, ten to a trace.
    Java,
}

/// How many lines a trace has.
const TRACE_LINES: usize = 10;

impl TextKind {
    /// Reads `plain`, `access`, `json` or `java`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "plain" => Ok(Self::Plain),
            "access" => Ok(Self::Access),
            "json" => Ok(Self::Json),
            "java" => Ok(Self::Java),
            _ => Err(Error::Value {
                text: text.to_owned(),
                wanted: "plain, access, json or java",
            }),
        }
    }
}

/// One text with a mark in it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The text; every line of a load has the same length.
    pub(crate) text: Vec<u8>,
    /// Where the mark begins.
    pub(crate) mark: usize,
}

/// Makes `count` different texts of exactly `size` bytes for one connection.
///
/// # Errors
/// A size that has no room for the text's fixed parts.
pub(crate) fn lines(
    kind: TextKind,
    size: usize,
    connection: u32,
    count: usize,
) -> Result<Vec<Line>> {
    let mut random = Random::new(u64::from(connection) + 1);
    (0..count)
        .map(|number| {
            let is_first = number % TRACE_LINES == 0;
            line((kind, is_first), size, connection, &mut random)
        })
        .collect()
}

/// Makes a text; `is_first`: it begins a trace, if its kind has any.
fn line(
    (kind, is_first): (TextKind, bool),
    size: usize,
    connection: u32,
    random: &mut Random,
) -> Result<Line> {
    let mark = format!("seq={connection:03}.{:010}.{:019}", 0, 0);
    let mut text = match kind {
        TextKind::Plain => format!("{mark} "),
        TextKind::Access => access_start(&mark, random),
        TextKind::Java if is_first => {
            format!("Exception in thread \"main\" java.lang.IllegalStateException: {mark} ")
        }
        TextKind::Java => format!(
            "    at com.example.shop.{}(Order.java:{}) ~[shop.jar] {mark} ",
            random.pick(&["Cart.total", "Main.main", "Order.accept", "Pool.run"]),
            random.below(900)
        ),
        TextKind::Json => format!(
            r#"{{"level":"{}","id":"{mark}","msg":""#,
            random.pick(&["info", "warn", "debug"])
        ),
    };
    let tail = if kind == TextKind::Json { r#""}"# } else { "" };
    let at = text.find("seq=").unwrap_or(0);
    if at + MARK_LENGTH + tail.len() > size
        || (kind == TextKind::Json && text.len() + tail.len() > size)
    {
        let text = format!("--size {size}");
        return Err(Error::Value {
            text,
            wanted: "large enough for this kind of text (120 is always enough)",
        });
    }
    while text.len() + tail.len() < size {
        match kind {
            TextKind::Plain | TextKind::Json | TextKind::Java => words(&mut text, random),
            TextKind::Access => access_field(&mut text, random),
        }
    }
    text.truncate(size - tail.len());
    text.push_str(tail);
    Ok(Line {
        text: text.into_bytes(),
        mark: at,
    })
}

fn access_start(mark: &str, random: &mut Random) -> String {
    let path = random.pick(&[
        "/api/orders",
        "/api/cart/items",
        "/login",
        "/search",
        "/static/app.js",
        "/health",
    ]);
    let method = random.pick(&["GET", "GET", "GET", "POST", "PUT"]);
    let status = random.pick(&["200", "200", "200", "200", "304", "404", "500"]);
    let host = random.below(250);
    let length = random.below(60_000);
    let user = random.below(900_000);
    let agent = random.pick(&[
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
        "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        "okhttp/4.12.0",
    ]);
    format!(
        r#"10.0.{}.{host} - user{user} "{method} {path}?{mark} HTTP/1.1" {status} {length} "https://shop.example.com{path}" "{agent}""#,
        host % 8
    )
}

fn access_field(text: &mut String, random: &mut Random) {
    let field = match random.below(7) {
        0 | 1 => format!(r#" trace="Root=1-{}-{}""#, random.hex(8), random.hex(24)),
        2 => format!(
            r#" upstream="10.0.{}.{}:8080""#,
            random.below(8),
            random.below(250)
        ),
        3 => format!(
            " request_time=0.{:03} upstream_time=0.{:03}",
            random.below(1000),
            random.below(1000)
        ),
        4 => format!(
            r#" cookie="session={}; theme=dark; consent=analytics,functional""#,
            random.hex(16)
        ),
        5 => format!(
            " target_group=arn:aws:elasticloadbalancing:eu-central-1:123456789012:tg/{}",
            random.below(40)
        ),
        _ => format!(
            r#" tls="TLSv1.3/TLS_AES_128_GCM_SHA256" country={}"#,
            random.pick(&["DE", "FR", "US", "JP"])
        ),
    };
    text.push_str(&field);
}

fn words(text: &mut String, random: &mut Random) {
    const WORDS: &[&str] = &[
        "order",
        "accepted",
        "for",
        "customer",
        "with",
        "items",
        "payment",
        "pending",
        "retry",
        "after",
        "timeout",
        "connection",
        "pool",
        "size",
        "cache",
        "miss",
        "on",
        "key",
        "worker",
        "started",
        "finished",
        "in",
        "ms",
    ];
    text.push_str(random.pick(WORDS));
    text.push(' ');
    if random.below(4) == 0 {
        text.push_str(&random.below(100_000).to_string());
        text.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u32, u64, u64)> {
        marks(text.as_bytes())
            .map(|mark| (mark.connection, mark.number, mark.sent))
            .collect()
    }

    #[test]
    fn marks_are_found_wherever_they_stand() {
        assert_eq!(
            found("x?seq=003.0000000042.0000000000000000007 y"),
            [(3, 42, 7)]
        );
        assert_eq!(found("seq=1.2.3"), [(1, 2, 3)]);
        assert_eq!(found("seq=1.2.3\nseq=1.3.4"), [(1, 2, 3), (1, 3, 4)]);
        assert_eq!(found(r#"{\"id\":\"seq=1.2.3\"}"#), [(1, 2, 3)]);
    }

    #[test]
    fn broken_marks_are_passed_over() {
        for text in [
            "",
            "seq=",
            "seq=1",
            "seq=1.",
            "seq=1.2",
            "seq=1.2.",
            "seq=a.b.c",
            "seq=99999999999.1.1",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
        assert_eq!(found("seq=1.99999999999999999999999.1"), []);
        assert_eq!(found("seq=x seq=seq=4.5.6"), [(4, 5, 6)]);
    }

    #[test]
    fn every_kind_has_the_asked_size_and_one_patchable_mark() {
        for kind in [
            TextKind::Plain,
            TextKind::Access,
            TextKind::Json,
            TextKind::Java,
        ] {
            for size in [120, 1024, 20_000] {
                for mut line in lines(kind, size, 7, 20).unwrap() {
                    assert_eq!(line.text.len(), size);
                    let mark = &mut line.text[line.mark..line.mark + MARK_LENGTH];
                    write_digits(&mut mark[NUMBER], 41);
                    write_digits(&mut mark[SENT], 1_700_000_000_000_000_000);
                    let text = String::from_utf8(line.text).unwrap();
                    assert_eq!(found(&text), [(7, 41, 1_700_000_000_000_000_000)], "{text}");
                }
            }
        }
    }

    #[test]
    fn a_json_text_is_json() {
        for line in lines(TextKind::Json, 333, 0, 20).unwrap() {
            assert!(serde_json::from_slice::<serde_json::Value>(&line.text).is_ok());
        }
    }

    #[test]
    fn a_trace_has_ten_lines() {
        let lines = lines(TextKind::Java, 120, 0, 25).unwrap();
        let firsts = lines
            .iter()
            .map(|line| line.text.starts_with(b"Exception in thread"));
        let firsts: Vec<_> = firsts
            .enumerate()
            .filter_map(|(number, is_first)| is_first.then_some(number))
            .collect();
        assert_eq!(firsts, [0, 10, 20]);
        assert!(lines[1].text.starts_with(b"    at "));
    }

    #[test]
    fn a_size_without_room_for_the_mark_is_refused() {
        assert!(lines(TextKind::Plain, 10, 0, 1).is_err());
    }
}
