//! `sluice check` against services that answer, refuse, and are not there.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use super::support::{Bucket, Frame, Reaction, Receiver, Router, Sink};

/// The exit status of `sluice check` of these outputs, and the lines that it says.
fn check(outputs: &str, environment: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[INPUT]\n  Name dummy\n{outputs}");
    std::fs::write(folder.path().join("a.conf"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["check", "-c", "a.conf"])
        .current_dir(folder.path())
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (
        output.status.code(),
        said.lines().map(str::to_owned).collect(),
    )
}

const KEY: (&str, &str) = ("AWS_ACCESS_KEY_ID", super::support::ACCESS_KEY);
const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", super::support::SECRET_KEY);

/// An output to the sink, with the lines that it alone has.
fn aws(name: &str, endpoint: SocketAddr, lines: &[&str]) -> String {
    let lines = lines.join("\n  ");
    format!(
        "[OUTPUT]\n  Name {name}\n  Match *\n  region eu-west-1\n  tls off\n  endpoint {endpoint}\n  {lines}\n"
    )
}

fn of_the_sink(sink: &Sink) -> String {
    aws(
        "cloudwatch_logs",
        sink.endpoint,
        &[
            "log_group_name group",
            "log_stream_prefix x",
            "auto_create_group on",
        ],
    ) + &aws(
        "kinesis_firehose",
        sink.endpoint,
        &["delivery_stream delivery"],
    )
}

#[test]
fn what_is_allowed_is_said_and_nothing_is_stored() {
    let sink = Sink::start();
    // The group is made by a delivery.
    let router = Router::new().forward(&[]).logs(&sink, &[]).start();
    router.connect().send(&Frame::new("app").log("first"));
    sink.counts("the event", |stats| stats["items"] == 1);
    let before = sink.groups();
    let (status, said) = check(&of_the_sink(&sink), &[KEY, SECRET]);
    assert_eq!(status, Some(0), "{said:#?}");
    assert_eq!(
        said,
        [
            "[ info] [check] a.conf:3:1: output cloudwatch_logs.0: log group group answers, and logs:PutLogEvents is allowed",
            "[ info] [check] a.conf:12:1: output kinesis_firehose.1: delivery stream delivery answers, and firehose:PutRecordBatch is allowed",
            "configuration test is successful",
        ]
    );
    assert_eq!(sink.stats()["items"], 1);
    assert_eq!(sink.groups(), before);
}

#[test]
fn a_group_that_is_missing_is_an_error_unless_it_is_made() {
    let sink = Sink::start();
    let outputs = of_the_sink(&sink);
    let (status, said) = check(&outputs, &[KEY, SECRET]);
    assert_eq!(status, Some(0), "{said:#?}");
    assert!(
        said[0].contains("does not exist and will be made"),
        "{said:#?}"
    );
    let (status, said) = check(
        &outputs.replace("auto_create_group on", "auto_create_group off"),
        &[KEY, SECRET],
    );
    assert_eq!(status, Some(1), "{said:#?}");
    assert!(
        said[0].contains("make the log group, or set auto_create_group on"),
        "{said:#?}"
    );
    assert!(
        said[0].starts_with("[error]") && said[1].starts_with("[ info]"),
        "{said:#?}"
    );
}

#[test]
fn a_policy_that_lacks_an_action_is_named_with_it() {
    let sink = Sink::with(&["--deny"]);
    let (status, said) = check(&of_the_sink(&sink), &[KEY, SECRET]);
    assert_eq!(status, Some(1), "{said:#?}");
    assert!(
        said[0].contains("not allowed; grant logs:PutLogEvents"),
        "{said:#?}"
    );
    assert!(
        said[1].contains("not allowed; grant firehose:PutRecordBatch"),
        "{said:#?}"
    );
}

#[test]
fn a_key_that_the_service_does_not_know_and_no_key_at_all_are_told() {
    let sink = Sink::start();
    let wrong = ("AWS_SECRET_ACCESS_KEY", "another");
    let (status, said) = check(&of_the_sink(&sink), &[KEY, wrong]);
    assert_eq!(status, Some(1), "{said:#?}");
    assert!(said[0].contains("Signature"), "{said:#?}");
    assert!(!said.concat().contains("another"), "{said:#?}");
    let (status, said) = check(&of_the_sink(&sink), &[]);
    assert_eq!(status, Some(1), "{said:#?}");
    assert!(said[0].contains("credentials"), "{said:#?}");
}

#[test]
fn a_certificate_that_nobody_trusts_is_told() {
    let sink = Sink::start();
    let outputs = of_the_sink(&sink).replace("tls off", "tls on");
    let (status, said) = check(&outputs, &[KEY, SECRET]);
    assert_eq!(status, Some(1), "{said:#?}");
    assert!(said[0].contains("no TLS with"), "{said:#?}");
    let trusted = format!("tls on\n  tls.ca_file {}", sink.ca_file());
    let (status, said) = check(&outputs.replace("tls on", &trusted), &[KEY, SECRET]);
    assert_eq!(status, Some(0), "{said:#?}");
}

#[test]
fn outputs_without_aws_are_connected_to() {
    let receiver = Receiver::start(|_| Reaction::Store);
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |address: SocketAddr| address.port();
    let outputs = format!(
        "[OUTPUT]\n  Name forward\n  Match *\n  Port {}\n[OUTPUT]\n  Name http\n  Match *\n  Port {}\n\
         [OUTPUT]\n  Name http\n  Match *\n  Port {}\n[OUTPUT]\n  Name null\n  Match *\n",
        port(receiver.address),
        port(server.local_addr().unwrap()),
        port(closed),
    );
    let (status, said) = check(&outputs, &[]);
    assert_eq!(status, Some(1), "{said:#?}");
    assert!(said[0].ends_with("accepts connections"), "{said:#?}");
    assert!(
        said[1].ends_with("accepts connections; no request was sent"),
        "{said:#?}"
    );
    assert!(said[2].contains("Connection refused"), "{said:#?}");
    assert!(
        said[3].ends_with("output null.3: there is nothing to ask"),
        "{said:#?}"
    );
}

#[test]
fn a_bucket_is_asked_for_a_part_of_an_upload_that_is_not_there() {
    let bucket = Bucket::start();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("store_dir {}", folder.path().display());
    let outputs = aws("s3", bucket.address, &["bucket logs", &store]);
    let (status, said) = check(&outputs, &[KEY, SECRET]);
    assert_eq!(status, Some(0), "{said:#?}");
    assert!(
        said[0].ends_with("bucket logs answers, and s3:PutObject is allowed"),
        "{said:#?}"
    );
    assert_eq!(bucket.calls(), [""; 0]);
    assert_eq!(bucket.violations(), [""; 0]);
}
