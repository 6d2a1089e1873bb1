//! The router's configuration.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::error::{Error, Result};

/// The stream, delivery stream, group or bucket of every output.
pub(super) const TARGET: &str = "bench";

/// An output that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Logs,
    Firehose,
    Kinesis,
    S3,
}

impl Output {
    /// Reads its name.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let all = [Self::Logs, Self::Firehose, Self::Kinesis, Self::S3];
        let found = all.into_iter().find(|output| output.name() == text);
        found.ok_or_else(|| Error::Value {
            text: text.to_owned(),
            wanted: "logs, firehose, kinesis or s3",
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Firehose => "firehose",
            Self::Kinesis => "kinesis",
            Self::S3 => "s3",
        }
    }

    /// Its section, for tags that `tags` matches.
    pub(super) fn section(self, tags: &str, place: &Place<'_>) -> String {
        let settings = match self {
            Self::Logs => {
                "Name cloudwatch_logs\n    log_group_name bench\n    log_stream_prefix s-\n    auto_create_group on"
            }
            Self::Firehose => "Name kinesis_firehose\n    delivery_stream bench",
            Self::Kinesis => "Name kinesis_streams\n    stream bench",
            // Small and soon, so that there are many objects.
            Self::S3 => {
                "Name s3\n    bucket bench\n    use_put_object on\n    total_file_size 1M\n    upload_timeout 1s\n    \
                 s3_key_format /$TAG/%Y/%m/%d/%H/%M/%S-$UUID"
            }
        };
        let mut text = format!(
            "[OUTPUT]\n    {settings}\n    Match {tags}\n    region us-east-1\n    endpoint https://{}\n    tls.ca_file {}\n",
            place.sink,
            place.ca_file.display()
        );
        if self == Self::S3 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    store_dir {}", place.folder.join("s3").display());
        }
        text
    }
}

/// Where things are.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) folder: &'a Path,
    pub(super) ca_file: &'a Path,
    pub(super) sink: SocketAddr,
    pub(super) input: SocketAddr,
}

/// The configuration with these outputs and the tags they take. Events wait shortly, so that a fault meets many requests.
pub(super) fn text(outputs: &[(Output, String)], place: &Place<'_>) -> String {
    let mut text = format!(
        "[SERVICE]\n    Flush 0.1\n    Grace 30\n    Log_Level info\n\n\
         [INPUT]\n    Name forward\n    Listen {}\n    Port {}\n    Mem_Buf_Limit 25MB\n",
        place.input.ip(),
        place.input.port()
    );
    for (output, tags) in outputs {
        text.push('\n');
        text.push_str(&output.section(tags, place));
    }
    text
}
