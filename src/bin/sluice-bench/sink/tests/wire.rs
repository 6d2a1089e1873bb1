//! What goes wrong with the bytes, and with credentials.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, everything, put};

/// Sends a request of about 300 bytes; the bytes of the answer, or how the connection broke.
async fn raw(client: &Client, body: &Value) -> Result<Vec<u8>, String> {
    let body = body.to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(client.sink.endpoint).await.unwrap();
    let mut answer = Vec::new();
    let sent = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let read = stream.read_to_end(&mut answer).await;
    match sent.and(read) {
        Ok(_) => Ok(answer),
        Err(error) => Err(format!("{:?} after {}", error.kind(), answer.len())),
    }
}

async fn fault(client: &Client, name: &str, value: &str) {
    let answer = client.control("POST /faults", json!({ name: value })).await;
    assert_eq!(answer, json!({}));
}

async fn exchanges(client: &Client, how: &str) -> Value {
    client.stats().await["answers"][format!("exchange {how}")].clone()
}

#[tokio::test]
async fn a_request_is_cut_at_its_byte_before_anything_is_stored() {
    let client = Client::new(everything());
    fault(&client, "cut-request", "100%,100").await;
    let body = put(&["seq=0.0.1"]).to_string();
    let call = client.call("logs", "Logs_20140328.PutLogEvents", body.as_bytes());
    assert_eq!(call.await, None);
    assert_eq!(client.stats().await["unique"], 0);
    assert_eq!(exchanges(&client, "cut in the request").await, 1);
    fault(&client, "cut-request", "100%,1M").await;
    assert_eq!(
        client.put(&["seq=0.0.1"]).await.0,
        200,
        "it is shorter than that"
    );
}

#[tokio::test]
async fn an_answer_is_cut_or_ended_at_its_byte_after_storing() {
    let client = Client::new(everything());
    let whole = raw(&client, &json!({})).await.unwrap().len();
    for (name, expected) in [
        ("cut-answer", Err("ConnectionReset after 10".to_owned())),
        ("end-answer", Ok(10)),
    ] {
        fault(&client, name, "100%,10").await;
        let answer = raw(&client, &json!({})).await;
        assert_eq!(answer.map(|answer| answer.len()), expected, "{name}");
        fault(&client, name, "0").await;
    }
    fault(&client, "end-answer", "100%,0").await;
    let body = put(&["seq=0.0.1"]).to_string();
    let call = client.call("logs", "Logs_20140328.PutLogEvents", body.as_bytes());
    assert_eq!(call.await, None);
    assert_eq!(client.stats().await["unique"], 1);
    fault(&client, "end-answer", "0").await;
    assert_eq!(raw(&client, &json!({})).await.unwrap().len(), whole);
}

#[tokio::test]
async fn a_stalled_answer_goes_on_when_the_fault_is_over() {
    let client = Client::new(everything());
    fault(&client, "stall-answer", "100%,20").await;
    let (nothing, body) = (json!({}), json!({}));
    let exchange = raw(&client, &nothing);
    tokio::pin!(exchange);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut exchange).await;
    assert!(early.is_err(), "{early:?}");
    fault(&client, "stall-answer", "0").await;
    assert_eq!(
        exchange.await.unwrap().len(),
        raw(&client, &body).await.unwrap().len()
    );
}

#[tokio::test]
async fn an_answer_can_be_slow_or_no_http_or_a_page() {
    let client = Client::new(everything());
    fault(&client, "slow-answer", "1000").await;
    let begin = Instant::now();
    let length = raw(&client, &json!({})).await.unwrap().len() as u64;
    assert!(begin.elapsed() > Duration::from_millis(length), "{length}");
    fault(&client, "slow-answer", "0").await;
    fault(&client, "garbage", "100%").await;
    let answer = raw(&client, &json!({})).await.unwrap();
    assert!(!answer.is_empty() && !answer.starts_with(b"HTTP"));
    fault(&client, "garbage", "0").await;
    fault(&client, "page", "100%").await;
    assert_eq!(client.put(&["seq=0.0.1"]).await, (200, Value::Null));
    assert_eq!(client.stats().await["unique"], 0);
}

#[tokio::test]
async fn connecting_or_the_first_byte_hangs_until_the_fault_is_over() {
    for name in ["hang-connect", "hang-tls"] {
        let client = Client::new(everything());
        fault(&client, name, "true").await;
        let messages = ["seq=0.0.1"];
        let exchange = client.put(&messages);
        tokio::pin!(exchange);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut exchange).await;
        assert!(early.is_err(), "{name}: {early:?}");
        fault(&client, name, "false").await;
        assert_eq!(exchange.await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn a_granted_rate_throttles_the_rest() {
    let client = Client::new(everything());
    fault(&client, "rate", "3").await;
    let mut throttled = 0;
    for _ in 0..10 {
        throttled += u64::from(client.put(&["x"]).await.0 == 400);
    }
    assert!((4..8).contains(&throttled), "{throttled}");
}

#[tokio::test]
async fn deleted_streams_and_groups_have_to_be_made_again() {
    let client = Client::new(super::Account::default());
    let names = json!({ "logGroupName": "g", "logStreamName": "s/1" });
    let group = json!({ "logGroupName": "g" });
    assert_eq!(client.logs("CreateLogGroup", group.clone()).await.0, 200);
    assert_eq!(client.logs("CreateLogStream", names.clone()).await.0, 200);
    client.control("POST /delete", json!("streams")).await;
    assert_eq!(
        client.put(&["x"]).await.1["__type"],
        "ResourceNotFoundException"
    );
    assert_eq!(client.logs("CreateLogStream", names).await.0, 200);
    client.control("POST /delete", json!("groups")).await;
    assert_eq!(client.logs("CreateLogGroup", group).await.0, 200);
}

#[tokio::test]
async fn the_time_to_recover_is_measured_from_the_mark() {
    let client = Client::new(everything());
    client.control("POST /mark", Value::Null).await;
    let of_before = crate::stats::now_nanos() - 1_000_000_000;
    let text = format!("seq=000.0000000000.{of_before}");
    client.put(&[&text]).await;
    let mark = &client.stats().await["mark"];
    assert!(mark["seconds_to_first"].as_f64().unwrap() < 10.0, "{mark}");
    assert_eq!(mark["seconds_to_first"], mark["seconds_to_last_of_before"]);
}
