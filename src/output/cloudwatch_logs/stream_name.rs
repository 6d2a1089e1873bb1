//! Names of log groups and streams: what is allowed in them, and what becomes of the rest.

/// The longest name of a group or a stream.
const NAME_MAX: usize = 512;

/// Makes a text a name of a log group: `[A-Za-z0-9_\-./#]`, anything else becomes a dot.
pub(super) fn group(text: &str) -> Box<str> {
    name(text, |c| c.is_ascii_alphanumeric() || "_-./#".contains(c))
}

/// Makes a text a name of a log stream: anything but `:` and `*`, which become dots, and control characters.
pub(super) fn stream(text: &str) -> Box<str> {
    name(text, |c| c != ':' && c != '*' && !c.is_control())
}

/// Makes a part of a log group's name as the Go plugin does: every byte but `[A-Za-z0-9_\-./]` becomes a dot.
pub(super) fn go_group(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    let bytes = text.bytes();
    bytes
        .map(|byte| if keep(byte) { char::from(byte) } else { '.' })
        .collect()
}

/// Makes a part of a log stream's name as the Go plugin does: `:` and `*` become dots, and control characters.
pub(super) fn go_stream(text: &str) -> String {
    text.replace(|c: char| c == ':' || c == '*' || c.is_control(), ".")
}

/// A name cut to its length, between two characters.
pub(super) fn cut(text: &str) -> Box<str> {
    name(text, |_| true)
}

fn name(text: &str, allowed: impl Fn(char) -> bool) -> Box<str> {
    let mut name = String::with_capacity(text.len().min(NAME_MAX));
    for c in text.chars().map(|c| if allowed(c) { c } else { '.' }) {
        if name.len() + c.len_utf8() > NAME_MAX {
            break;
        }
        name.push(c);
    }
    // The service takes no empty name.
    if name.is_empty() {
        ".".into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: outputs 17
    #[test]
    fn what_the_service_does_not_allow_becomes_a_dot() {
        assert_eq!(&*stream("from-a:b*c"), "from-a.b.c");
        assert_eq!(&*group("/ecs/my app\u{e9}#1"), "/ecs/my.app.#1");
        assert_eq!(&*stream(""), ".");
    }

    /// Checklist: outputs 17
    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(stream(&"x".repeat(600)).len(), 512);
        assert_eq!(stream(&format!("x{}", "\u{e9}".repeat(600))).len(), 511);
    }

    #[test]
    fn the_go_plugin_cleans_byte_by_byte() {
        assert_eq!(go_group("/a b#\u{e9}"), "/a.b...");
        assert_eq!(go_stream("s:a#\u{e9}*\n"), "s.a#\u{e9}..");
    }
}
