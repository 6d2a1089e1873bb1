//! `file`: appends records to files.
//!
//! | file | purpose |
//! |---|---|
//! | [`mod@format`] | from a record to its line |
//! | [`template`] | lines as the user wants them |
//! | [`open`] | the open files |
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `path` | the working folder | the folder |
//! | `file` | the tag | the file; a tag is made harmless first, its slashes are folders |
//! | `format` | `out_file` | `out_file`, `plain`, `csv`, `ltsv`, `template`, `msgpack` |
//! | `delimiter` | `,` or a tab | between the fields of csv, ltsv; also `tab`, `space`, `comma` |
//! | `label_delimiter` | `:` | between label and value of ltsv |
//! | `template` | `{time} {message}` | the line of format template |
//! | `csv_column_names` | off | a first line with the keys, in a file that is empty |
//! | `mkdir` | off | make folders that are missing |
//!
//! Each request is one write in append mode. A file that was moved or removed is made anew, so logrotate needs no
//! `copytruncate`.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/file>

mod format;
mod open;
mod template;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::future::BoxFuture;

use self::format::Format;
use self::open::Files;
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output, text};
use crate::config::Settings;
use crate::event::{DropReason, Tag};
use crate::msgpack::json::Json;

struct FileOutput {
    /// Ends in a slash, unless it is empty.
    folder: String,
    /// `None` for the tag.
    file: Option<String>,
    format: Format,
    json: Json,
    files: Arc<Files>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let folder = settings
        .text("path")
        .map(|path| format!("{}/", path.trim_end_matches('/')))
        .unwrap_or_default();
    let file = settings.text("file");
    let format = Format::new(settings);
    let files = Arc::new(Files::new(settings.flag("mkdir", false)));
    refuse_what_would_mislead(settings);
    settings.accept(&[
        "max_dynamic_files",
        "on_missing_field",
        "on_limit_reached",
        "fallback_path",
        "fallback_file",
    ]);
    settings.accept(&["rotate_max_size", "rotate_max_files", "rotate_gzip"]);
    Arc::new(FileOutput {
        folder,
        file,
        format,
        json: options.json,
        files,
    })
}

/// Running without these would fill the disk, or write to files nobody looks at.
fn refuse_what_would_mislead(settings: &mut Settings<'_>) {
    if settings.flag("rotate", false) {
        settings.error(
            "rotate",
            "not supported yet; rotate with logrotate, a file that was moved is made anew",
        );
    }
    if settings.flag("enable_strftime", false) {
        settings.error("enable_strftime", "not supported yet; write a fixed path");
    }
    for key in ["path", "file"] {
        if settings.text(key).is_some_and(|text| text.contains('$')) {
            settings.error(
                key,
                "record accessors are not supported yet; without `file`, each tag has its file",
            );
        }
    }
}

impl FileOutput {
    fn path(&self, tag: &Tag) -> String {
        match &self.file {
            Some(file) => format!("{}{file}", self.folder),
            None => format!("{}{}", self.folder, file_of(tag)),
        }
    }
}

/// A tag as a file below some folder: `a/../b c.%x` is `a/_/b_c._x`.
fn file_of(tag: &Tag) -> String {
    let harmless = |&byte: &u8| match byte {
        b'-' | b'_' | b'.' => char::from(byte),
        _ if byte.is_ascii_alphanumeric() => char::from(byte),
        _ => '_',
    };
    let parts = tag
        .as_bytes()
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty());
    let parts: Vec<_> = parts
        .map(|part| {
            if matches!(part, b"." | b"..") {
                "_".to_owned()
            } else {
                part.iter().map(harmless).collect()
            }
        })
        .collect();
    if parts.is_empty() {
        "_".to_owned()
    } else {
        parts.join("/")
    }
}

impl Output for FileOutput {
    fn limits(&self) -> Limits {
        text::LIMITS
    }

    fn destination(&self, tag: &Tag) -> Option<Destination> {
        Some(Destination {
            name: self.path(tag).into(),
            ..Destination::default()
        })
    }

    /// The body starts with a line that belongs to the top of a file, behind the line's length.
    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        body.extend_from_slice(&0_u64.to_be_bytes());
        let consumed = text::fill(items, &mut body, |index, item, body| {
            if index == 0 {
                let before = body.len();
                self.format.head(item.event, body);
                let length = (body.len() - before) as u64;
                body.splice(..before, length.to_be_bytes());
            }
            self.format.row(item, self.json, body);
        });
        Encoded {
            body: body.into(),
            consumed,
            ..Encoded::default()
        }
    }

    fn send<'a>(&'a self, destination: &'a Destination, mut body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let length = body.try_get_u64().unwrap_or_default() as usize;
            let head = body.split_to(length.min(body.len()));
            let (files, path) = (Arc::clone(&self.files), destination.name.clone());
            match text::blocking(move || files.append(&path, &head, &body)).await {
                Ok(()) => Answer::done(),
                Err(error) => answer(&destination.name, &error),
            }
        })
    }
}

fn answer(path: &str, error: &io::Error) -> Answer {
    let folder = Path::new(path)
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match error.kind() {
        // No amount of patience makes a name shorter.
        io::ErrorKind::InvalidFilename => {
            let why = format!("`{path}` is no name for a file: {error}");
            Answer::Unacceptable {
                why,
                reason: DropReason::Refused,
            }
        }
        io::ErrorKind::NotFound => Answer::again(format!(
            "the folder `{}` does not exist; make it, or set `mkdir on`",
            folder.display()
        )),
        io::ErrorKind::PermissionDenied => Answer::again(format!(
            "cannot write `{path}`: {error}; give the user of this process the right to it"
        )),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Answer::again(format!(
            "cannot write `{path}`: {error}; make room in `{}`",
            folder.display()
        )),
        _ => Answer::again(format!("cannot write `{path}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::{Event, EventTime};

    fn output(properties: &[(&str, &str)]) -> Arc<dyn Output> {
        let (output, problems) =
            configured(properties, |settings| build(settings, Options::default()));
        assert_eq!(problems, [""; 0]);
        output
    }

    fn name(properties: &[(&str, &str)], tag: &[u8]) -> String {
        output(properties)
            .destination(&Tag::new(tag))
            .unwrap()
            .name
            .into()
    }

    /// What becomes of one request with these records.
    async fn sent(output: &dyn Output, tag: &[u8], records: &[&[u8]]) -> Answer {
        let tag = Tag::new(tag);
        let time = EventTime {
            seconds: 1,
            nanos: 2,
        };
        let mut items = records.iter().map(|record| Item {
            tag: &tag,
            event: Event {
                time,
                metadata: &[],
                record,
            },
        });
        let destination = output.destination(&tag).unwrap();
        let body = output.encode(&destination, &mut items, Vec::new()).body;
        output.send(&destination, body).await
    }

    #[test]
    fn a_tag_becomes_a_harmless_file_name() {
        for (tag, expected) in [
            (&b"app.log"[..], "app.log"),
            (b"a/../b c.%x", "a/_/b_c._x"),
            (b"/etc/passwd", "etc/passwd"),
            (b"a//b/", "a/b"),
            (b"./..", "_/_"),
            (b"a..b", "a..b"),
            (b"", "_"),
            (b"/", "_"),
            (b"\0\n\xff", "___"),
        ] {
            assert_eq!(name(&[("path", "/out/")], tag), format!("/out/{expected}"));
        }
    }

    #[test]
    fn path_and_file_are_joined() {
        assert_eq!(
            name(&[("path", "/out"), ("file", "x.log")], b"t"),
            "/out/x.log"
        );
        assert_eq!(name(&[("file", "x.log")], b"t"), "x.log");
        assert_eq!(name(&[], b"/t"), "t");
        assert_eq!(name(&[("path", "/")], b"t"), "/t");
    }

    #[tokio::test]
    async fn requests_are_appended_and_the_keys_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let output = output(&[
            ("path", path),
            ("format", "csv"),
            ("csv_column_names", "on"),
        ]);
        for _ in 0..2 {
            assert_eq!(
                sent(&*output, b"t", &[b"\x81\xa1a\x01", b"\x81\xa1a\x02"]).await,
                Answer::done()
            );
        }
        let text = std::fs::read_to_string(folder.path().join("t")).unwrap();
        let rows = "1.000000002,1\n1.000000002,2\n";
        assert_eq!(text, format!("timestamp,\"a\"\n{rows}{rows}"));
    }

    #[tokio::test]
    async fn a_missing_folder_is_named_and_the_data_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing");
        let output = output(&[("path", path.to_str().unwrap())]);
        let Answer::Again { why, .. } = sent(&*output, b"t", &[&[0x80]]).await else {
            panic!("not kept")
        };
        assert!(
            why.contains(path.to_str().unwrap()) && why.contains("mkdir on"),
            "{why}"
        );
        std::fs::create_dir(&path).unwrap();
        assert_eq!(sent(&*output, b"t", &[&[0x80]]).await, Answer::done());
        assert_eq!(
            std::fs::read_to_string(path.join("t")).unwrap(),
            "t: [1.000000002, {}]\n"
        );
    }

    #[tokio::test]
    async fn a_name_that_no_file_can_have_does_not_block_the_others() {
        let answer = sent(&*output(&[("path", "/tmp")]), &[b'a'; 300], &[&[0x80]]).await;
        assert!(
            matches!(
                answer,
                Answer::Unacceptable {
                    reason: DropReason::Refused,
                    ..
                }
            ),
            "{answer:?}"
        );
    }

    #[test]
    fn settings_that_would_mislead_are_refused() {
        for property in [
            ("rotate", "on"),
            ("enable_strftime", "on"),
            ("path", "/out/$TAG"),
        ] {
            let (_, problems) =
                configured(&[property], |settings| build(settings, Options::default()));
            assert!(problems.concat().starts_with("error: "), "{problems:?}");
        }
    }
}
