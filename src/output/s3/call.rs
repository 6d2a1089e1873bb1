//! The calls to S3: whole objects, and uploads in parts.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html>

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::store::Upload;
use crate::output::Answer;
use crate::output::aws::{Call, Failure, FileBody, Payload, Question, Reply, Signed};
use crate::output::compression::Compression;

/// What every object gets.
#[derive(Debug, Clone, Default)]
pub(super) struct ObjectOptions {
    pub(super) content_type: Option<String>,
    pub(super) canned_acl: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) compression: Option<Compression>,
    pub(super) send_md5: bool,
}

impl ObjectOptions {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let encoding = self
            .compression
            .map(|compression| compression.name().to_owned());
        let headers = [
            ("content-type", self.content_type.clone()),
            ("x-amz-acl", self.canned_acl.clone()),
            ("x-amz-storage-class", self.storage_class.clone()),
            ("content-encoding", encoding),
        ];
        let given = headers.into_iter();
        given
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// A file on its way.
#[derive(Debug, Clone)]
pub(super) struct Content {
    body: Arc<FileBody>,
    md5: Option<String>,
}

impl Content {
    /// Reads a file once, for what its upload has to say of it before the bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(path: PathBuf, with_md5: bool) -> io::Result<Self> {
        let mut file = File::open(&path)?;
        let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
        let mut length = 0;
        let mut piece = vec![0; 128 << 10];
        loop {
            let read = file.read(&mut piece)?;
            let bytes = piece.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            length += bytes.len() as u64;
            sha256.update(bytes);
            if with_md5 {
                md5.update(bytes);
            }
        }
        let mut hex = String::with_capacity(64);
        for byte in sha256.finalize() {
            let _infallible = write!(hex, "{byte:02x}");
        }
        Ok(Self {
            body: Arc::new(FileBody {
                path,
                length,
                sha256: hex,
            }),
            md5: with_md5.then(|| base64_simd::STANDARD.encode_to_string(md5.finalize())),
        })
    }

    /// Packs a file into another and takes that.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn packed(
        from: &Path,
        to: PathBuf,
        compression: Compression,
        with_md5: bool,
    ) -> io::Result<Self> {
        compression.pack_file(&mut File::open(from)?, File::create(&to)?)?;
        Self::of(to, with_md5)
    }

    /// Bytes.
    pub(super) fn length(&self) -> u64 {
        self.body.length
    }

    fn call(&self, method: &'static str, path: String) -> Call {
        let md5 = self.md5.clone();
        Call {
            method,
            path,
            headers: md5.map(|md5| ("content-md5", md5)).into_iter().collect(),
            body: Payload::File(Arc::clone(&self.body)),
        }
    }
}

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) service: Signed,
    pub(super) name: String,
    pub(super) options: ObjectOptions,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// S3 does not know the upload: it is done, or was given up.
    NoSuchUpload,
    /// Anything else, which may pass.
    Other(String),
}

impl Bucket {
    /// Stores an object whole.
    ///
    /// # Errors
    /// What S3 says.
    pub(super) async fn put(&self, key: &str, content: &Content) -> Result<(), CallError> {
        let mut call = content.call("PUT", self.path(key));
        call.headers.extend(self.options.headers());
        self.ask(&call, |_| Ok(())).await
    }

    /// Uploads a part for an upload that does not exist, which needs the permission of any other and stores nothing.
    ///
    /// # Errors
    /// A sentence that says what stands against it.
    pub(super) async fn check(&self, key: &str) -> Result<String, String> {
        let question = Question {
            target: &format!("bucket {}", self.name),
            action: "s3:PutObject",
        };
        let call = Call {
            method: "PUT",
            path: format!("{}?partNumber=1&uploadId=sluice-check", self.path(key)),
            ..Call::default()
        };
        let answer = match self.ask(&call, |_| Ok(())).await {
            Ok(()) | Err(CallError::NoSuchUpload) => Answer::done(),
            Err(CallError::Other(why)) => Answer::again(why),
        };
        question.sort(&answer)
    }

    /// Begins an upload in parts and gives its identity.
    ///
    /// # Errors
    /// What S3 says.
    pub(super) async fn create(&self, key: &str) -> Result<String, CallError> {
        let call = Call {
            method: "POST",
            path: format!("{}?uploads=", self.path(key)),
            headers: self.options.headers(),
            body: Payload::default(),
        };
        let read = |reply: &Reply| {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            element(&text, "UploadId").ok_or_else(|| "the answer names no upload".to_owned())
        };
        self.ask(&call, read).await
    }

    /// Uploads the part that is next and gives its `ETag`.
    ///
    /// # Errors
    /// What S3 says.
    pub(super) async fn part(
        &self,
        upload: &Upload,
        content: &Content,
    ) -> Result<String, CallError> {
        let number = upload.parts.len() + 1;
        let id = encoded(&upload.token, false);
        let path = format!(
            "{}?partNumber={number}&uploadId={id}",
            self.path(&upload.key)
        );
        let read = |reply: &Reply| {
            let tag = reply.header("etag").map(str::to_owned);
            tag.ok_or_else(|| "the answer has no ETag".to_owned())
        };
        self.ask(&content.call("PUT", path), read).await
    }

    /// Makes an object of an upload's parts.
    ///
    /// # Errors
    /// What S3 says, which may be an error in an answer of 200.
    pub(super) async fn complete(&self, upload: &Upload) -> Result<(), CallError> {
        let mut body =
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                .to_owned();
        for (number, tag) in (1..).zip(&upload.parts) {
            let tag = tag.replace('&', "&amp;").replace('<', "&lt;");
            let _infallible = write!(
                body,
                "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        let call = Call {
            method: "POST",
            path: format!(
                "{}?uploadId={}",
                self.path(&upload.key),
                encoded(&upload.token, false)
            ),
            headers: Vec::new(),
            body: Payload::Bytes(body.into()),
        };
        let read = |reply: &Reply| {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            match element(&text, "Code") {
                Some(code) if text.contains("<Error>") => Err(code),
                _ => Ok(()),
            }
        };
        self.ask(&call, read).await
    }

    fn path(&self, key: &str) -> String {
        format!("/{}{}", encoded(&self.name, false), encoded(key, true))
    }

    async fn ask<T>(
        &self,
        call: &Call,
        read: impl Fn(&Reply) -> Result<T, String>,
    ) -> Result<T, CallError> {
        let answer = self.service.ask(call, |reply| match reply.status {
            200..300 => Ok(read(reply).map_err(CallError::Other)),
            _ => failure(reply),
        });
        match answer.await {
            Ok(result) => result,
            Err(Answer::Again { why, .. } | Answer::Unacceptable { why, .. }) => {
                Err(CallError::Other(why))
            }
            Err(answer) => Err(CallError::Other(format!("{answer:?}"))),
        }
    }
}

/// Sorts an error, which S3 writes as XML.
fn failure<T>(reply: &Reply) -> Result<Result<T, CallError>, Failure> {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let code = element(&text, "Code").unwrap_or_default();
    if code == "NoSuchUpload" {
        return Ok(Err(CallError::NoSuchUpload));
    }
    let message = element(&text, "Message").unwrap_or_default();
    Err(reply.failure(&code, &message, false))
}

/// The text of the first element of this name. S3's answers are flat, and the texts wanted hold no markup.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    Some(text.replace("&quot;", "\"").replace("&amp;", "&"))
}

/// A text as it may stand in a path; `slashes` stay in a key.
fn encoded(text: &str, slashes: bool) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || slashes && byte == b'/' {
            path.push(char::from(byte));
        } else {
            let _infallible = write!(path, "%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_escaped_but_for_its_slashes() {
        assert_eq!(encoded("/a b/c+d\u{e9}~", true), "/a%20b/c%2Bd%C3%A9~");
        assert_eq!(encoded("a/b=", false), "a%2Fb%3D");
    }

    #[test]
    fn an_element_is_found_and_unescaped() {
        let xml = "<R><UploadId>a&amp;b&lt;</UploadId><Code></Code></R>";
        assert_eq!(element(xml, "UploadId").as_deref(), Some("a&b<"));
        assert_eq!(element(xml, "Code").as_deref(), Some(""));
        assert_eq!(element(xml, "Message"), None);
    }

    #[test]
    fn a_file_is_read_for_its_length_and_its_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, b"abc").unwrap();
        let content = Content::of(path.clone(), true).unwrap();
        assert_eq!(content.length(), 3);
        assert_eq!(
            content.body.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(content.md5.as_deref(), Some("kAFQmDzST7DWlj99KOF/cg=="));
        let packed = folder.path().join("y");
        let content = Content::packed(&path, packed.clone(), Compression::Gzip, false).unwrap();
        assert_eq!(content.length(), std::fs::metadata(packed).unwrap().len());
    }
}
