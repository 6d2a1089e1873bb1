//! What goes wrong on demand.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Client, everything, put};

#[tokio::test]
async fn failed_records_are_neither_stored_nor_kept() {
    let client = Client::new(everything());
    client
        .control("POST /faults", json!({ "fail-partly": "50%" }))
        .await;
    let record = |number| json!({ "Data": base64_simd::STANDARD.encode_to_string(format!("seq=0.{number}.1")), "PartitionKey": "k" });
    let records: Vec<Value> = (0..100).map(record).collect();
    let body = json!({ "StreamName": "k", "Records": records }).to_string();
    let (_, answer) = client
        .call("kinesis", "Kinesis_20131202.PutRecords", body.as_bytes())
        .await
        .unwrap();
    let failed = answer["FailedRecordCount"].as_u64().unwrap();
    assert!((30..70).contains(&failed));
    assert_eq!(client.stats().await["unique"], 100 - failed);
    let kept = client.control("GET /records?stream=k", Value::Null).await;
    assert_eq!(
        kept["records"].as_array().unwrap().len() as u64,
        100 - failed
    );
}

#[tokio::test]
async fn faults_change_at_run_time_and_mistakes_change_nothing() {
    let client = Client::new(everything());
    client
        .control("POST /faults", json!({ "throttle": "100%" }))
        .await;
    let refused = client
        .control("POST /faults", json!({ "throttle": 0, "flood": 1 }))
        .await;
    assert!(refused["error"].as_str().unwrap().contains("flood"));
    assert_eq!(client.put(&["x"]).await.1["__type"], "ThrottlingException");
    client
        .control("POST /faults", json!({ "throttle": 0, "deny": true }))
        .await;
    assert_eq!(
        client.put(&["x"]).await.1["__type"],
        "AccessDeniedException"
    );
    client
        .control("POST /faults", json!({ "deny": false, "outage": "0s,60s" }))
        .await;
    assert_eq!(client.put(&["x"]).await.0, 503);
    client
        .control("POST /faults", json!({ "outage": "off" }))
        .await;
    assert_eq!(client.put(&["x"]).await.0, 200);
}

#[tokio::test]
async fn a_reset_ends_the_connection_without_an_answer_before_or_after_storing() {
    let client = Client::new(everything());
    client
        .control("POST /faults", json!({ "reset": "100%" }))
        .await;
    for number in 0..20 {
        let body = put(&[&format!("seq=0.{number}.1")]).to_string();
        assert_eq!(
            client
                .call("logs", "Logs_20140328.PutLogEvents", body.as_bytes())
                .await,
            None
        );
    }
    let stats = client.stats().await;
    let after = stats["answers"]["PutLogEvents reset after storing"]
        .as_u64()
        .unwrap();
    assert!((1..20).contains(&after));
    assert_eq!(stats["unique"], after);
}

#[tokio::test]
async fn a_slow_reader_takes_its_time() {
    let client = Client::new(everything());
    client
        .control("POST /faults", json!({ "read-rate": "20k" }))
        .await;
    let begin = Instant::now();
    assert_eq!(client.put(&["x".repeat(5_000).as_str()]).await.0, 200);
    assert!(
        begin.elapsed() > Duration::from_millis(150),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_hanging_request_is_not_answered_but_may_be_stored() {
    let client = Client::new(everything());
    client
        .control("POST /faults", json!({ "hang": "100%" }))
        .await;
    for number in 0..10 {
        let message = [format!("seq=0.{number}.1")];
        let messages = message.each_ref().map(String::as_str);
        let put = client.put(&messages);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), put)
                .await
                .is_err()
        );
    }
    let stats = client.stats().await;
    assert_eq!(
        stats["answers"]["PutLogEvents hang after storing"],
        stats["unique"]
    );
}

#[tokio::test]
async fn an_outage_can_refuse_connections_until_it_is_over() {
    let client = Client::new(everything());
    let refuse = json!({ "outage": "0s,60s,refuse" });
    client.control("POST /faults", refuse).await;
    let body = put(&["x"]).to_string();
    for _ in 0..2 {
        let answer = client.call("logs", "Logs_20140328.PutLogEvents", body.as_bytes());
        assert_eq!(answer.await, None);
    }
    client
        .control("POST /faults", json!({ "outage": "off" }))
        .await;
    assert_eq!(client.put(&["x"]).await.0, 200);
}
