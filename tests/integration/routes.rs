//! Routes of an input, and processors of an output: engine checklist 27, and 28 for outputs.

use super::support::{Frame, Router, Running, ack, eventually};

const ROUTES: &str = r"
service: {flush: 0.05}
pipeline:
  inputs:
    - name: forward
      listen: 127.0.0.1
      port: 0
      routes:
        logs:
          - name: errors
            condition: {op: and, rules: [{field: $log, op: regex, value: ^error}]}
            to: {outputs: [errors, both]}
          - name: known
            condition: {rules: [{field: $log, op: regex, value: '^(error|info)'}]}
            to: {outputs: [both]}
          - name: rest
            condition: {default: true}
            to: {outputs: [rest]}
  filters:
    - {name: rewrite_tag, match: app, rule: '$log ^again other.$TAG false'}
  outputs:
    - {name: file, alias: errors, file: errors, format: plain}
    - {name: file, alias: both, file: both, format: plain}
    - {name: file, alias: rest, file: rest}
    - {name: file, alias: all, file: all, match: '*'}
";

fn lines(router: &Running, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(router.path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Sends these texts under the tag `app`, acknowledged, and waits for their delivery.
fn send(router: &Running, texts: &[&str]) {
    let mut client = router.connect();
    let frame = texts
        .iter()
        .fold(Frame::new("app"), |frame, text| frame.log(text));
    client.send(&frame.chunk("c"));
    assert_eq!(client.read(ack("c").len()), ack("c"));
    client.finish();
    router.settles();
}

/// Checklist: engine 27
#[test]
fn routes_take_record_by_record_whatever_the_outputs_match() {
    let mut router = Router::yaml(ROUTES).start();
    send(
        &router,
        &["error 1", "info 1", "x", "error 2", "again", "info 2"],
    );
    router.terminate();
    let (_, closing) = router.end();
    let log = |text: &str| format!("{{\"log\":\"{text}\"}}");
    assert_eq!(lines(&router, "errors"), ["error 1", "error 2"].map(log));
    // In their order, although they came by different routes, and once each.
    let both = ["error 1", "info 1", "error 2", "info 2"].map(log);
    assert_eq!(lines(&router, "both"), both);
    let rest = lines(&router, "rest");
    assert!(rest.len() == 1 && rest[0].starts_with("app: ["), "{rest:?}");
    // What a filter gave another tag is nobody's route, and goes where the tag does.
    let all = lines(&router, "all");
    assert!(
        all.len() == 1 && all[0].starts_with("other.app: ["),
        "{all:?}"
    );
    assert!(
        closing.contains("accepted 6, filtered 0, unrouted 0; errors: delivered 2"),
        "{closing}"
    );
}

#[test]
fn what_no_route_takes_is_counted() {
    let without_default =
        ROUTES.replace("default: true", "rules: [{field: $no, op: eq, value: x}]");
    let mut router = Router::yaml(&without_default).start();
    send(&router, &["error", "x", "y"]);
    router
        .process
        .says("none of the input's routes takes some records of the tag app");
    router.terminate();
    let (_, closing) = router.end();
    assert!(
        closing.contains("accepted 3, filtered 0, unrouted 2"),
        "{closing}"
    );
}

#[test]
fn a_reload_changes_the_routes_of_open_connections() {
    let hot = ROUTES.replace("flush: 0.05", "flush: 0.05, hot_reload: on");
    let router = Router::yaml(&hot).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("error before").chunk("1"));
    assert_eq!(client.read(ack("1").len()), ack("1"));
    let changed = hot.replace("value: ^error", "value: ^nothing");
    router.configure(&Router::yaml(&changed));
    router.process.signal(rustix::process::Signal::HUP);
    router
        .process
        .says("successful reload done: inputs 1 unchanged");
    client.send(&Frame::new("app").log("error after").chunk("2"));
    assert_eq!(client.read(ack("2").len()), ack("2"));
    eventually(
        "both are there",
        || router.process.text(),
        || (lines(&router, "both").len() == 2).then_some(()),
    );
    assert_eq!(lines(&router, "errors"), [r#"{"log":"error before"}"#]);
}

#[test]
fn processors_of_an_output_change_what_that_output_gets_and_no_other() {
    let mut router = Router::yaml(
        r"
service: {flush: 0.05}
pipeline:
  inputs:
    - {name: forward, listen: 127.0.0.1, port: 0}
  outputs:
    - {name: file, alias: as_is, file: as_is, format: plain, match: '*'}
    - name: file
      alias: changed
      file: changed
      format: plain
      match: '*'
      processors:
        logs:
          - name: content_modifier
            action: insert
            key: short
            value: yes it is
            condition: {rules: [{field: $log, op: eq, value: a}]}
          - {name: grep, exclude: log secret}
          - {name: record_modifier, record: by changed}
    - {name: file, alias: also, file: also, format: plain, match: '*'}
",
    )
    .start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("a").log("secret").log("b").chunk("c"));
    assert_eq!(client.read(ack("c").len()), ack("c"));
    client.finish();
    router.terminate();
    let (_, closing) = router.end();
    let whole = [r#"{"log":"a"}"#, r#"{"log":"secret"}"#, r#"{"log":"b"}"#];
    assert_eq!(lines(&router, "as_is"), whole);
    assert_eq!(lines(&router, "also"), whole);
    assert_eq!(
        lines(&router, "changed"),
        [
            r#"{"log":"a","short":"yes it is","by":"changed"}"#,
            r#"{"log":"b","by":"changed"}"#
        ]
    );
    assert_eq!(
        closing,
        "(0 pending records); accepted 3, filtered 0, unrouted 0; as_is: delivered 3, left behind 0; \
         changed: delivered 2, dropped filtered 1, left behind 0; also: delivered 3, left behind 0"
    );
}
