//! `s3`: objects in a bucket, a file for each tag until it is large or old enough.
//!
//! | file | purpose |
//! |---|---|
//! | `store.rs` | the files in which events wait |
//! | `worker.rs` | which file is uploaded when |
//! | `call.rs` | the calls to S3 |
//! | `key.rs` | the keys of objects |
//!
//! The settings are in `docs/configuration.md`. An event counts as delivered when it is in its file.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/s3>

mod call;
mod key;
mod store;
mod worker;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::call::{Bucket, ObjectOptions};
use self::key::KeyFormat;
use self::store::{Bounds, Store};
use self::worker::{Rules, Worker, blocking};
use super::aws::{Aws, RegionSource, Signed};
use super::compression::Compression;
use super::text::Date;
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::accessor::last_value;
use crate::config::Settings;
use crate::event::{DropReason, Tag};
use crate::msgpack::json::Json;
use crate::msgpack::read;

/// One request appends so much to a file, before its size is looked at again. As much as a chunk of Fluent Bit, so that objects end
/// where they end there.
const LIMITS: Limits = Limits {
    events: usize::MAX,
    bytes: 2_048_000,
};
/// The defaults of `upload_chunk_size` and `total_file_size`.
const CHUNK_SIZE: u64 = 5_242_880;
const TOTAL_SIZE: u64 = 100_000_000;
/// Below this, an object is uploaded whole.
const MULTIPART_MIN: u64 = 10_485_760;
/// The default of `s3_key_format`.
const KEY_FORMAT: &str = "/fluent-bit-logs/$TAG/%Y/%m/%d/%H/%M/%S";
/// The default of `upload_timeout`.
const TIMEOUT: std::time::Duration = std::time::Duration::from_mins(10);

/// Settings that belong to events this output is never given, and compression that never was.
const UNUSED: &[&str] = &[
    "blob_database_file",
    "part_size",
    "file_delivery_attempt_limit",
    "part_delivery_attempt_limit",
    "upload_parts_timeout",
    "upload_part_freshness_limit",
    "authorization_endpoint_*",
];

struct S3 {
    line: Line,
    chunk_size: u64,
    store: Arc<Store>,
    worker: Worker,
}

/// How an event becomes a line.
enum Line {
    Record(Date, Json),
    Key(Box<[u8]>, Json),
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    settings.accept(UNUSED);
    let region = settings
        .text("region")
        .unwrap_or_else(|| "us-east-1".to_owned());
    let aws = Aws::read_in(settings, RegionSource::Known(region));
    let date = Date::iso8601(settings);
    let line = match settings.text("log_key") {
        Some(key) => Line::Key(key.into_bytes().into(), options.json),
        None => Line::Record(date, options.json),
    };
    match settings.text("format").as_deref() {
        None | Some("json_lines") => {}
        Some("json") => {
            settings.warning(
                "format",
                "json is written as json_lines, as Fluent Bit does",
            );
        }
        Some(other) => {
            let message = format!("{other} is not supported; write json_lines or leave it out");
            settings.error("format", message);
        }
    }
    let compressions = [Compression::Gzip, Compression::Zstd, Compression::Snappy];
    let options = ObjectOptions {
        content_type: settings.text("content_type"),
        canned_acl: settings.text("canned_acl"),
        storage_class: settings.text("storage_class"),
        compression: Compression::read(settings, "compression", &compressions, false),
        send_md5: settings.flag("send_content_md5", false),
    };
    let bucket = settings.required("bucket").unwrap_or_default();
    let rules = rules(settings, options.compression.is_some());
    let store = Arc::new(store(settings, &bucket));
    let bucket = Bucket {
        service: Signed::new(aws, "s3", "AWS_ENDPOINT_URL_S3"),
        name: bucket,
        options,
    };
    Arc::new(S3 {
        line,
        chunk_size: rules.chunk_size,
        worker: Worker::new(bucket, rules, Arc::clone(&store)),
        store,
    })
}

fn rules(settings: &mut Settings<'_>, compressed: bool) -> Rules {
    let (total_size, chunk_size, use_put_object) = sizes(settings, compressed);
    let format = settings.text("s3_key_format");
    let delimiters = settings.text("s3_key_format_tag_delimiters");
    let is_static = settings.flag("static_file_path", false);
    let (format, delimiters) = (
        format.as_deref().unwrap_or(KEY_FORMAT),
        delimiters.as_deref().unwrap_or("."),
    );
    let key = KeyFormat::new(format, delimiters, is_static).or_else(|error| {
        settings.error("s3_key_format", error);
        KeyFormat::new(KEY_FORMAT, delimiters, is_static)
    });
    let fallback = "the default format can be used";
    let action = settings.choice("retry_exhausted_action", &["quarantine", "delete"]);
    Rules {
        key: key.expect(fallback),
        use_put_object,
        chunk_size,
        total_size,
        timeout: settings.duration("upload_timeout").unwrap_or(TIMEOUT),
        ordered: settings.flag("preserve_data_ordering", true),
        retries: retries(settings),
        quarantine: action != Some("delete"),
    }
}

/// How many retries a file has; `None` for as many as it takes. What is no number is an error already, of the output in general.
fn retries(settings: &mut Settings<'_>) -> Option<u32> {
    let text = settings.text("retry_limit")?;
    if text.eq_ignore_ascii_case("no_retries") {
        return Some(0);
    }
    text.parse().ok()
}

/// The sizes of objects and parts, and whether objects are uploaded whole.
fn sizes(settings: &mut Settings<'_>, compressed: bool) -> (u64, u64, bool) {
    let mut use_put_object = settings.flag("use_put_object", false);
    let total = settings.size("total_file_size").unwrap_or(TOTAL_SIZE);
    let chunk = settings.size("upload_chunk_size").unwrap_or(CHUNK_SIZE);
    let total_max = if use_put_object {
        1_000_000_000
    } else {
        50_000_000_000
    };
    if !(1_000_000..=total_max).contains(&total) {
        let message = format!("has to be from 1M to {}G", total_max / 1_000_000_000);
        settings.error("total_file_size", message);
    }
    use_put_object |= total < MULTIPART_MIN;
    if use_put_object {
        return (total, total, true);
    }
    let chunk_max = if compressed {
        5_000_000_000
    } else {
        50_000_000
    };
    if !(CHUNK_SIZE..=chunk_max).contains(&chunk) {
        let message = format!("has to be from 5242880 to {chunk_max}");
        settings.error("upload_chunk_size", message);
    }
    if chunk != CHUNK_SIZE && chunk.saturating_mul(2) > total {
        let message = "has to be at most half of total_file_size";
        settings.error("upload_chunk_size", message);
    }
    (total, chunk, false)
}

/// The store. Its folder is that of the bucket, and in it one for each output, told apart by what makes its objects.
fn store(settings: &mut Settings<'_>, bucket: &str) -> Store {
    let folder = settings.text("store_dir");
    let folder = folder.as_deref().unwrap_or("/tmp/fluent-bit/s3");
    let mut identity = DefaultHasher::new();
    for key in [
        "alias",
        "match",
        "match_regex",
        "endpoint",
        "region",
        "s3_key_format",
        "log_key",
        "compression",
    ] {
        settings.text(key).hash(&mut identity);
    }
    let bounds = Bounds {
        bytes: settings
            .size("store_dir_limit_size")
            .filter(|size| *size > 0),
        quarantine: settings
            .size("quarantine_dir_limit_size")
            .filter(|size| *size > 0),
    };
    let name = format!("{:016x}", identity.finish());
    Store::new(Path::new(folder).join(bucket).join(name), bounds)
}

impl Line {
    fn write(&self, item: Item<'_>, body: &mut Vec<u8>) -> Result<(), DropReason> {
        match self {
            Self::Record(date, json) => date.record(item.event, *json, body),
            Self::Key(key, json) => {
                let value = last_value(item.event.record, key).ok_or(DropReason::KeyMissing)?;
                match read::text(value) {
                    Some(text) => body.extend_from_slice(text),
                    None => json.value(value, body),
                }
            }
        }
        body.push(b'\n');
        Ok(())
    }
}

impl S3 {
    async fn append(&self, tag: &str, body: Bytes) -> io::Result<()> {
        self.worker.open().await?;
        let (store, tag, most) = (Arc::clone(&self.store), tag.to_owned(), self.chunk_size);
        let full = blocking(move || store.append(&tag, &body, most)).await?;
        if let Some(chunk) = full {
            self.worker.upload(chunk);
        }
        Ok(())
    }
}

impl Output for S3 {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn destination(&self, tag: &Tag) -> Option<Destination> {
        Some(Destination {
            group: "".into(),
            name: tag.to_text().into(),
        })
    }

    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        let mut encoded = Encoded::default();
        while body.len() < LIMITS.bytes
            && let Some(item) = items.next()
        {
            if let Err(reason) = self.line.write(item, &mut body) {
                encoded.refused.push((encoded.consumed, reason));
            }
            encoded.consumed += 1;
        }
        encoded.body = body.into();
        encoded
    }

    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let folder = self.store.folder().display();
            match self.append(&destination.name, body).await {
                Ok(()) => Answer::done(),
                Err(error) => Answer::again(format!("cannot store in {folder}: {error}")),
            }
        })
    }

    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.worker.check().await) })
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.worker.run())
    }

    fn finish(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.worker.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn problems(properties: &[(&str, &str)]) -> Vec<String> {
        let bucket = [("bucket", "b")];
        let properties: Vec<_> = bucket.iter().chain(properties).copied().collect();
        configured(&properties, |settings| {
            build(settings, Options::default());
        })
        .1
    }

    /// Checklist: outputs 6
    #[test]
    fn sizes_out_of_range_are_refused() {
        for properties in [
            &[("total_file_size", "999K")][..],
            &[("total_file_size", "2G"), ("use_put_object", "on")],
            &[("upload_chunk_size", "5M")],
            &[("upload_chunk_size", "51M"), ("total_file_size", "1G")],
            &[("upload_chunk_size", "6M"), ("total_file_size", "11M")],
            &[("s3_key_format", "x")],
            &[("format", "parquet")],
            &[("compression", "lz4")],
        ] {
            assert_eq!(problems(properties).len(), 1, "{properties:?}");
        }
        for properties in [
            &[][..],
            &[("total_file_size", "1M")],
            &[("upload_chunk_size", "6M"), ("total_file_size", "12M")],
            &[
                ("upload_chunk_size", "60M"),
                ("total_file_size", "1G"),
                ("compression", "gzip"),
            ],
        ] {
            assert_eq!(problems(properties), [""; 0], "{properties:?}");
        }
    }

    #[test]
    fn outputs_with_other_keys_have_other_folders() {
        let folder = |format| {
            let properties = [("s3_key_format", format), ("store_dir", "/s")];
            let (store, _) = configured(&properties, |settings| store(settings, "b"));
            store.folder().to_owned()
        };
        assert_ne!(folder("/a"), folder("/b"));
        assert_eq!(folder("/a"), folder("/a"));
        assert!(folder("/a").starts_with("/s/b"));
    }
}
