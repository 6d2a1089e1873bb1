//! `head`: the beginning of a file, now and then.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `File` | required | what to read |
//! | `Key` | head | the key of the text |
//! | `Buf_Size` | 256 | so many bytes at most |
//! | `Lines` | 0 | so many lines instead, without the last newline |
//! | `Split_Line` | off | with `Lines`, a key for each: `line0`, `line1` |
//! | `Add_Path` | off | add `path` |
//! | `Interval_Sec`, `Interval_NSec` | 1, 0 | the time between two looks |
//!
//! A file that cannot be read, or is empty, makes no event.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/head>

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::write;
use crate::parser::Parsers;
use crate::telemetry::log::Limiter;

/// The most that is read.
const SIZE_MAX: u64 = 1 << 20;

struct Head {
    file: PathBuf,
    key: String,
    size: usize,
    lines: usize,
    splits: bool,
    adds_path: bool,
    interval: Duration,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    Box::new(read(settings))
}

fn read(settings: &mut Settings<'_>) -> Head {
    let lines = settings.integer("lines").unwrap_or(0);
    let size = settings.size("buf_size").unwrap_or(256);
    Head {
        file: settings.required("file").unwrap_or_default().into(),
        key: settings.text("key").unwrap_or_else(|| "head".to_owned()),
        size: size.clamp(1, SIZE_MAX) as usize,
        lines: usize::try_from(lines).unwrap_or(0),
        splits: settings.flag("split_line", false),
        adds_path: settings.flag("add_path", false),
        interval: super::interval(settings),
    }
}

impl Input for Head {
    fn bind(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.look(&context).await })
    }
}

impl Head {
    async fn look(&self, context: &Context) {
        let mut ingest = Ingest::open_source(context);
        let mut phase = context.phase.clone();
        let limiter = Limiter::default();
        let first = tokio::time::Instant::now() + self.interval;
        let mut ticks = tokio::time::interval_at(first, self.interval);
        // With `Lines` a line may be longer than `Buf_Size`.
        let most = if self.lines > 0 {
            SIZE_MAX as usize
        } else {
            self.size
        };
        loop {
            let permit = tokio::select! {
                permit = async { ticks.tick().await; ingest.permit(2 * most).await } => permit,
                () = reached(&mut phase, Phase::Drain) => return,
            };
            let path = self.file.clone();
            let begun = tokio::task::spawn_blocking(move || beginning(&path, most)).await;
            // A panic ends the process.
            let Ok(begun) = begun else { return };
            match begun {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    ingest.note_read(bytes.len());
                    let session = ingest.session();
                    session.tag(context.tag.as_bytes());
                    session.offer(Event {
                        time: EventTime::now(),
                        metadata: &[],
                        record: &self.record(&bytes),
                    });
                    session.commit().await;
                }
                Err(error) => {
                    if let Some(more) = limiter.admit() {
                        let path = self.file.display();
                        crate::warning!(&context.component, "cannot read {path}: {error}{more}");
                    }
                }
            }
            drop(permit);
        }
    }

    fn record(&self, bytes: &[u8]) -> Vec<u8> {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        lines.truncate(self.lines);
        let splits = self.splits && self.lines > 0;
        let texts = if splits { lines.len() } else { 1 };
        let mut record = Vec::with_capacity(bytes.len() + 64);
        write::map_header(&mut record, texts as u32 + u32::from(self.adds_path));
        if self.adds_path {
            write::str(&mut record, b"path");
            write::str(&mut record, self.file.as_os_str().as_encoded_bytes());
        }
        if splits {
            for (number, line) in lines.iter().enumerate() {
                write::str(&mut record, format!("line{number}").as_bytes());
                write::str(&mut record, line);
            }
        } else if self.lines > 0 {
            write::str(&mut record, self.key.as_bytes());
            write::str(&mut record, &lines.join(&b'\n'));
        } else {
            write::str(&mut record, self.key.as_bytes());
            write::str(&mut record, bytes);
        }
        record
    }
}

/// The first bytes of a file.
fn beginning(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;
    use crate::msgpack::json::Json;

    /// The first record of a file with this content, as JSON.
    async fn first(content: &str, more: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        let path = path.display().to_string();
        let interval = ("interval_nsec", "1000000");
        let properties = [&[("file", &*path), ("interval_sec", "0"), interval], more].concat();
        let (head, said) = configured(&properties, read);
        assert_eq!(said, [""; 0]);
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(16 << 20);
        let running = tokio::spawn(Box::new(head).run(context));
        let kept = keeper.wait_for(1).await;
        phase.send_replace(Phase::Drain);
        running.await.unwrap();
        let mut json = Vec::new();
        Json::default().value(&kept[0].2, &mut json);
        String::from_utf8(json).unwrap().replace(&path, "PATH")
    }

    #[tokio::test]
    async fn the_beginning_is_bytes_or_lines() {
        let content = "one\ntwo\nthree\n";
        for (more, expected) in [
            (&[][..], r#"{"head":"one\ntwo\nthree\n"}"#),
            (&[("buf_size", "5")], r#"{"head":"one\nt"}"#),
            (&[("lines", "2"), ("key", "k")], r#"{"k":"one\ntwo"}"#),
            (
                &[("lines", "2"), ("split_line", "on")],
                r#"{"line0":"one","line1":"two"}"#,
            ),
            (
                &[("add_path", "on"), ("buf_size", "3")],
                r#"{"path":"PATH","head":"one"}"#,
            ),
        ] {
            assert_eq!(first(content, more).await, expected, "{more:?}");
        }
    }
}
