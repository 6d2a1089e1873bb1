//! S3 as far as log routers use it: whole objects, uploads in parts, and reading both back.
//!
//! `call.rs` tells the operations apart and holds the limits that need no knowledge of the account.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>

mod call;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Read as _;

use bytes::Bytes;
use hyper::StatusCode;
use md5::Md5;
use serde_json::{Value, json};
use sha2::Digest as _;

pub(super) use self::call::{Call, name_of, parse};
use self::call::{Completion, Content};
use super::answer::{ApiError, Reply};
use super::cloud::Storage;
use super::ledger::Item;
use crate::output::hex;

/// Every part but the last must have this size.
const MIN_PART: u64 = 5 << 20;
/// The most that a compressed object may hold.
const MAX_INFLATED: u64 = 256 << 20;

/// The buckets of the account.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    pub(super) names: HashSet<String>,
    /// Whether every name is taken to exist.
    pub(super) any: bool,
    objects: BTreeMap<(String, String), Object>,
    uploads: HashMap<String, Upload>,
    begun: u64,
    /// Bytes of objects to keep for reading back.
    limit: usize,
    used: usize,
}

#[derive(Debug)]
struct Object {
    md5: [u8; 16],
    size: u64,
    parts: usize,
    content: Content,
    /// `None` when there was no room to keep it.
    bytes: Option<Bytes>,
}

/// An upload in parts that is under way.
#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    content: Content,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug)]
struct Part {
    md5: [u8; 16],
    bytes: Bytes,
}

impl Buckets {
    pub(super) fn new(names: HashSet<String>, any: bool, limit: usize) -> Self {
        Self {
            names,
            any,
            limit,
            ..Self::default()
        }
    }

    /// Does what a checked request asks for.
    pub(super) fn apply(
        &mut self,
        call: Call,
        body: &[u8],
        storage: &mut Storage<'_>,
    ) -> Result<Reply, ApiError> {
        let bucket = call.bucket().to_owned();
        if !self.any && !self.names.contains(&bucket) {
            return Err(not_found(
                "NoSuchBucket",
                "The specified bucket does not exist",
            ));
        }
        match call {
            Call::Put { key, content, .. } => {
                let tag = etag(&md5_of(body));
                self.store(
                    (bucket, key),
                    content,
                    &[Bytes::copy_from_slice(body)],
                    storage,
                )?;
                Ok(Reply::tagged(tag))
            }
            Call::Create { key, content, .. } => Ok(self.create(bucket, key, content)),
            Call::Part { upload, number, .. } => {
                let md5 = md5_of(body);
                let upload = self.uploads.get_mut(&upload).ok_or_else(no_upload)?;
                let bytes = Bytes::copy_from_slice(body);
                upload.parts.insert(number, Part { md5, bytes });
                Ok(Reply::tagged(etag(&md5)))
            }
            Call::Complete { upload, parts, .. } => self.complete(&upload, &parts, storage),
            Call::Abort { upload, .. } => {
                self.uploads.remove(&upload).ok_or_else(no_upload)?;
                Ok(Reply::xml(String::new()))
            }
            Call::Get { key, .. } => self.get(bucket, key),
            Call::List { prefix, .. } => Ok(Reply::xml(self.list(&bucket, &prefix))),
        }
    }

    /// Objects by bucket and key, and how many uploads are unfinished; the shape of `GET /objects`.
    pub(super) fn to_json(&self) -> Value {
        let objects = self.objects.iter().map(|((bucket, key), object)| {
            json!({
                "bucket": bucket, "key": key, "size": object.size, "parts": object.parts,
                "type": object.content.kind, "encoding": object.content.encoding,
                "storage_class": object.content.storage_class, "acl": object.content.acl,
            })
        });
        json!({ "objects": objects.collect::<Vec<_>>(), "unfinished_uploads": self.uploads.len() })
    }

    fn create(&mut self, bucket: String, key: String, content: Content) -> Reply {
        self.begun += 1;
        // Real ones are longer and hold characters that have to be encoded in a query.
        let id = format!("upload/{}+{}=", self.begun, key.len());
        let answer = format!(
            "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escaped(&key)
        );
        let upload = Upload {
            bucket,
            key,
            content,
            parts: BTreeMap::new(),
        };
        self.uploads.insert(id, upload);
        Reply::xml(answer)
    }

    fn complete(
        &mut self,
        id: &str,
        wanted: &[Completion],
        storage: &mut Storage<'_>,
    ) -> Result<Reply, ApiError> {
        let upload = self.uploads.get(id).ok_or_else(no_upload)?;
        if !wanted.is_sorted_by(|before, next| before.number < next.number) {
            let message = "The list of parts was not in ascending order.";
            return Err(ApiError::violation("InvalidPartOrder", message));
        }
        let mut bytes = Vec::new();
        for (at, part) in wanted.iter().enumerate() {
            let found = upload.parts.get(&part.number);
            let found = found.filter(|found| etag(&found.md5) == part.tag);
            let Some(found) = found else {
                let message = "One or more of the specified parts could not be found.";
                return Err(ApiError::violation("InvalidPart", message));
            };
            if (found.bytes.len() as u64) < MIN_PART && at + 1 < wanted.len() {
                let message =
                    "Your proposed upload is smaller than the minimum allowed object size.";
                return Err(ApiError::violation("EntityTooSmall", message));
            }
            bytes.push(found.bytes.clone());
        }
        let at = (upload.bucket.clone(), upload.key.clone());
        let content = upload.content.clone();
        let answer = format!(
            "<CompleteMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><ETag>\"done-{}\"</ETag></CompleteMultipartUploadResult>",
            at.0,
            escaped(&at.1),
            wanted.len()
        );
        self.store(at, content, &bytes, storage)?;
        self.uploads.remove(id);
        Ok(Reply::xml(answer))
    }

    /// Stores an object; one that replaces another by something else would be a loss, and is refused as no service would.
    fn store(
        &mut self,
        at: (String, String),
        content: Content,
        parts: &[Bytes],
        storage: &mut Storage<'_>,
    ) -> Result<(), ApiError> {
        let bytes = parts.concat();
        let md5 = md5_of(&bytes);
        if let Some(before) = self.objects.get(&at) {
            if before.md5 == md5 {
                // Sent again after an answer that was lost: the object is what it was.
                return Ok(());
            }
            let message = format!("{} would be overwritten with something else", at.1);
            return Err(ApiError::violation("Overwritten", message));
        }
        let text = inflated(&bytes, content.encoding.as_deref())?;
        let item = Item::of(text.as_deref().unwrap_or(&bytes)).sized(bytes.len());
        storage
            .ledger
            .store(&at.0, std::iter::once(&item), storage.now);
        let size = bytes.len();
        let keeps = self.used + size <= self.limit;
        self.used += if keeps { size } else { 0 };
        let object = Object {
            md5,
            size: size as u64,
            parts: parts.len(),
            content,
            bytes: keeps.then(|| bytes.into()),
        };
        self.objects.insert(at, object);
        Ok(())
    }

    fn get(&self, bucket: String, key: String) -> Result<Reply, ApiError> {
        let object = self.objects.get(&(bucket, key));
        let object =
            object.ok_or_else(|| not_found("NoSuchKey", "The specified key does not exist."))?;
        let bytes = object.bytes.clone();
        let bytes = bytes.ok_or_else(|| not_found("NoSuchKey", "It was not kept; see --keep."))?;
        Ok(Reply::bytes(bytes, etag(&object.md5)))
    }

    fn list(&self, bucket: &str, prefix: &str) -> String {
        let mut text = format!("<ListBucketResult><Name>{bucket}</Name>");
        let of_bucket = self
            .objects
            .iter()
            .filter(|((name, key), _)| name == bucket && key.starts_with(prefix));
        for ((_, key), object) in of_bucket {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "<Contents><Key>{}</Key><Size>{}</Size></Contents>",
                escaped(key),
                object.size
            );
        }
        text.push_str("<IsTruncated>false</IsTruncated></ListBucketResult>");
        text
    }
}

/// What an object compressed with gzip holds; other encodings are not looked into.
fn inflated(bytes: &[u8], encoding: Option<&str>) -> Result<Option<Vec<u8>>, ApiError> {
    if encoding != Some("gzip") {
        return Ok(None);
    }
    let mut text = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(MAX_INFLATED);
    match decoder.read_to_end(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(ApiError::violation(
            "BrokenContent",
            format!("the object says it is gzip: {error}"),
        )),
    }
}

fn md5_of(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn etag(md5: &[u8]) -> String {
    format!("\"{}\"", hex(md5))
}

fn no_upload() -> ApiError {
    not_found("NoSuchUpload", "The specified upload does not exist.")
}

fn not_found(code: &'static str, message: &str) -> ApiError {
    ApiError::refusal(StatusCode::NOT_FOUND, code, message)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
