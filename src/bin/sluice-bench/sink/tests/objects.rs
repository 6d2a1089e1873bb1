//! Objects in buckets.

use std::collections::HashSet;
use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{Account, Client, everything};

async fn begin(client: &Client, key: &str) -> String {
    let (status, answer) = client
        .s3("POST", &format!("/b/{key}?uploads="), b"", &[])
        .await
        .unwrap();
    assert_eq!(status, 200, "{answer}");
    let (_, rest) = answer.split_once("<UploadId>").unwrap();
    let id = rest.split_once("</UploadId>").unwrap().0;
    id.replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D")
}

fn completion(tags: &[&str]) -> String {
    let parts = (1..).zip(tags).map(|(number, tag)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag></Part>")
    });
    format!(
        "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
        parts.collect::<Vec<_>>().concat()
    )
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest as _;
    crate::output::hex(&md5::Md5::digest(bytes))
}

#[tokio::test]
async fn an_object_is_stored_counted_listed_and_read_back() {
    let client = Client::new(everything());
    let text = b"seq=0.0.1\nseq=0.1.1\n";
    let path = "/b/logs/a%20b/%C3%A9";
    let (status, answer) = client.s3("PUT", path, text, &[]).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let (_, body) = client.s3("GET", path, b"", &[]).await.unwrap();
    assert_eq!(body.as_bytes(), text);
    let (_, list) = client
        .s3("GET", "/b?list-type=2&prefix=logs%2F", b"", &[])
        .await
        .unwrap();
    assert!(
        list.contains("<Key>logs/a b/é</Key><Size>20</Size>"),
        "{list}"
    );
    assert_eq!(client.stats().await["unique"], 2);
}

#[tokio::test]
async fn sent_again_an_object_is_the_same_and_another_one_may_not_replace_it() {
    let client = Client::new(everything());
    for (text, expected) in [("seq=0.0.1", 200), ("seq=0.0.1", 200), ("seq=0.1.1", 400)] {
        let put = client.s3("PUT", "/b/k", text.as_bytes(), &[]).await;
        assert_eq!(put.unwrap().0, expected);
    }
    let stats = client.stats().await;
    assert_eq!(
        (
            &stats["unique"],
            &stats["duplicates"],
            &stats["violations"]["count"]
        ),
        (&json!(1), &json!(0), &json!(1))
    );
}

#[tokio::test]
async fn an_upload_in_parts_keeps_to_the_rules_of_s3() {
    let client = Client::new(everything());
    let large = [b"seq=0.0.1".as_slice(), &vec![b'x'; 5 << 20]].concat();
    let small = b"seq=0.1.1".as_slice();
    let id = begin(&client, "k").await;
    for (number, part) in [(1, large.as_slice()), (2, small), (3, small)] {
        let path = format!("/b/k?partNumber={number}&uploadId={id}");
        assert_eq!(client.s3("PUT", &path, part, &[]).await.unwrap().0, 200);
    }
    let (one, two) = (md5(&large), md5(small));
    let complete = async |tags: &[&str]| {
        let path = format!("/b/k?uploadId={id}");
        let body = completion(tags);
        client
            .s3("POST", &path, body.as_bytes(), &[])
            .await
            .unwrap()
            .1
    };
    assert!(complete(&[&one, &one]).await.contains("InvalidPart"));
    assert!(
        complete(&[&one, &two, &two])
            .await
            .contains("EntityTooSmall")
    );
    assert_eq!(client.stats().await["unique"], 0);
    assert!(
        complete(&[&one, &two])
            .await
            .contains("CompleteMultipartUploadResult")
    );
    assert!(complete(&[&one, &two]).await.contains("NoSuchUpload"));
    let objects = client.control("GET /objects", Value::Null).await;
    assert_eq!(
        (
            &objects["objects"][0]["parts"],
            &objects["unfinished_uploads"]
        ),
        (&json!(2), &json!(0))
    );
    assert_eq!(client.stats().await["unique"], 2);
}

#[tokio::test]
async fn a_compressed_object_gives_its_marks_and_must_be_what_it_says() {
    let client = Client::new(everything());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"seq=0.0.1\nseq=0.1.1\n").unwrap();
    let gzip = encoder.finish().unwrap();
    let encoding = [("content-encoding", "gzip")];
    assert_eq!(
        client.s3("PUT", "/b/k", &gzip, &encoding).await.unwrap().0,
        200
    );
    assert_eq!(client.stats().await["unique"], 2);
    let (_, broken) = client.s3("PUT", "/b/l", b"plain", &encoding).await.unwrap();
    assert!(broken.contains("BrokenContent"), "{broken}");
}

#[tokio::test]
async fn a_bucket_must_exist_and_signatures_must_be_right() {
    let account = Account {
        buckets: HashSet::from(["b".to_owned()]),
        ..Account::default()
    };
    let client = Client::new(account);
    assert_eq!(client.s3("PUT", "/b/k", b"x", &[]).await.unwrap().0, 200);
    let (status, answer) = client.s3("PUT", "/c/k", b"x", &[]).await.unwrap();
    assert_eq!((status, answer.contains("NoSuchBucket")), (404, true));
    let client = Client {
        secret: "wrong",
        ..client
    };
    let (status, answer) = client.s3("PUT", "/b/k", b"x", &[]).await.unwrap();
    assert_eq!(status, 400, "{answer}");
}
