use serde_json::json;

use super::support::{Load, Router, Sink};

/// Checklist: outputs 30
#[test]
fn exactly_the_records_that_failed_are_sent_again() {
    let sink = Sink::with(&["--fail-partly", "30%"]);
    let router = Router::new().forward(&[]).firehose(&sink, &[]).start();
    let load = ["--records", "5000", "--connections", "2", "--size", "200"];
    let accepted = Load::start(router.forward(), &load).accepted();
    let stats = sink.has(accepted.iter().sum());
    router.settles();
    let stats_after = sink.stats();
    assert_eq!(stats_after["items"], stats["items"]);
    assert_eq!(stats["items"], 5000);
    assert_eq!(stats["duplicates"], 0);
    assert_eq!(stats["violations"]["count"], 0, "{stats}");
    let retried = router.counter(
        "sluice_output_retried_records_total",
        "name=\"kinesis_firehose.0\"",
    );
    assert!(
        retried >= 1000,
        "only {retried} of 5000 records were sent again"
    );
}

#[test]
fn records_that_keep_failing_hold_up_nobody_and_are_delivered_in_the_end() {
    let sink = Sink::with(&["--fail-partly", "100%"]);
    let router = Router::new().forward(&[]).firehose(&sink, &[]).start();
    let load = ["--records", "100", "--connections", "1"];
    Load::start(router.forward(), &load).accepted();
    router.process.says("failed to flush");
    assert_eq!(sink.stats()["items"], 0);
    sink.faults(&json!({ "fail-partly": "0" }));
    let stats = sink.has(100);
    assert_eq!(
        (&stats["items"], &stats["out_of_order"]),
        (&json!(100), &json!(0))
    );
    router.process.says("delivering again");
}
