//! What the services check, store and answer.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{Account, Client, everything, put};

#[tokio::test]
async fn a_stream_must_be_created_before_it_takes_events() {
    let client = Client::new(Account::default());
    let code = |answer: (u16, Value)| {
        (
            answer.0,
            answer.1["__type"].as_str().unwrap_or("").to_owned(),
        )
    };
    let missing = (400, "ResourceNotFoundException".to_owned());
    assert_eq!(code(client.put(&["x"]).await), missing);
    assert_eq!(
        code(
            client
                .logs(
                    "CreateLogStream",
                    json!({ "logGroupName": "g", "logStreamName": "s/1" })
                )
                .await
        ),
        missing
    );
    assert_eq!(
        client
            .logs("CreateLogGroup", json!({ "logGroupName": "g" }))
            .await
            .0,
        200
    );
    assert_eq!(
        client
            .logs(
                "PutRetentionPolicy",
                json!({ "logGroupName": "g", "retentionInDays": 7 })
            )
            .await
            .0,
        200
    );
    assert_eq!(
        client
            .logs(
                "CreateLogStream",
                json!({ "logGroupName": "g", "logStreamName": "s/1" })
            )
            .await
            .0,
        200
    );
    assert_eq!(
        code(
            client
                .logs("CreateLogGroup", json!({ "logGroupName": "g" }))
                .await
        )
        .1,
        "ResourceAlreadyExistsException"
    );
    assert_eq!(client.put(&["x"]).await.0, 200);
    let groups = client.control("GET /groups", Value::Null).await;
    assert_eq!(
        groups["g"],
        json!({ "class": null, "retention_days": 7, "streams": { "s/1": 1 } })
    );
    assert_eq!(client.stats().await["violations"]["count"], 0);
}

#[tokio::test]
async fn what_is_stored_is_counted_and_can_be_read_back() {
    let client = Client::new(everything());
    assert_eq!(client.put(&["a seq=0.0.1", "\"b\" seq=0.1.1"]).await.0, 200);
    assert_eq!(client.put(&["a seq=0.0.1"]).await.0, 200);
    client
        .control("POST /expect", json!({ "records": [3] }))
        .await;
    let stats = client.stats().await;
    for (name, expected) in [
        ("unique", 2),
        ("duplicates", 1),
        ("missing", 1),
        ("out_of_order", 0),
        ("items", 3),
    ] {
        assert_eq!(stats[name], expected, "{name}");
    }
    let events = client
        .control("GET /events?group=g&stream=s%2F1", Value::Null)
        .await;
    assert_eq!(events["events"][1]["message"], "\"b\" seq=0.1.1");
    client.control("POST /reset", Value::Null).await;
    assert_eq!(client.stats().await["unique"], 0);
}

#[tokio::test]
async fn a_wrong_signature_stores_nothing() {
    let client = Client {
        secret: "wrong",
        ..Client::new(everything())
    };
    let (status, body) = client.put(&["seq=0.0.1"]).await;
    assert_eq!(
        (status, &body["__type"]),
        (400, &json!("InvalidSignatureException"))
    );
    let stats = client.stats().await;
    assert_eq!(
        (&stats["unique"], &stats["violations"]["count"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn a_request_over_a_limit_is_refused_and_listed() {
    let client = Client::new(everything());
    let large = "x".repeat(1_048_551);
    let (status, body) = client.put(&[&large]).await;
    assert_eq!(
        (status, &body["__type"]),
        (400, &json!("InvalidParameterException"))
    );
    let first = client.stats().await["violations"]["first"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        first.contains("1048577 bytes exceeds limit of 1048576"),
        "{first}"
    );
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_gzip_body_is_inflated_and_a_broken_one_refused() {
    let client = Client::new(everything());
    let target = "Logs_20140328.PutLogEvents";
    let encoding = [("content-encoding", "gzip")];
    let body = gzip(put(&["seq=0.0.1"]).to_string().as_bytes());
    let (status, _) = client
        .call_with("logs", target, &body, &encoding)
        .await
        .unwrap();
    assert_eq!(
        (status, client.stats().await["unique"].as_u64()),
        (200, Some(1))
    );
    let (_, answer) = client
        .call_with("logs", target, b"{}", &encoding)
        .await
        .unwrap();
    assert_eq!(answer["__type"], "SerializationException");
}

#[tokio::test]
async fn a_gzip_record_and_an_aggregated_record_give_their_marks() {
    let client = Client::new(everything());
    let encode = |data: &[u8]| base64_simd::STANDARD.encode_to_string(data);
    let records = [
        encode(b"seq=0.0.1\nseq=0.1.1\n"),
        encode(&gzip(b"seq=0.2.1")),
    ]
    .map(|data| json!({ "Data": data }));
    let body = json!({ "DeliveryStreamName": "d", "Records": records }).to_string();
    let (status, answer) = client
        .call(
            "firehose",
            "Firehose_20150804.PutRecordBatch",
            body.as_bytes(),
        )
        .await
        .unwrap();
    assert_eq!((status, &answer["FailedPutCount"]), (200, &json!(0)));
    assert_eq!(client.stats().await["unique"], 3);
    assert_eq!(
        client.control("GET /records?stream=d", Value::Null).await["records"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn tls_on_the_same_port_is_trusted_through_the_written_authority() {
    let folder = std::env::temp_dir().join(format!("sluice-bench-test-{}", std::process::id()));
    let acceptor = crate::sink::tls::acceptor(Some(&folder)).unwrap();
    let config = crate::tls::trusting(Path::new(&folder)).unwrap();
    std::fs::remove_file(&folder).unwrap();
    let (client, server) = tokio::io::duplex(1 << 14);
    let name = "127.0.0.1".try_into().unwrap();
    let connecting = tokio_rustls::TlsConnector::from(config).connect(name, client);
    let both = tokio::time::timeout(Duration::from_secs(5), async {
        tokio::join!(connecting, acceptor.accept(server))
    });
    let (client, server) = both.await.unwrap();
    assert!(client.is_ok() && server.is_ok());
}
