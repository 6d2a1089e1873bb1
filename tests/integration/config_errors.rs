use super::support::Router;

/// What a router says about its configuration, which is wrong.
fn report(router: Router) -> Vec<String> {
    let mut running = router.launch();
    let status = running.process.end();
    assert_eq!(status.code(), Some(1));
    running.process.text().lines().map(str::to_owned).collect()
}

/// Checklist: engine 20; firelens 39
#[test]
fn every_mistake_is_reported_at_once_with_its_place_and_what_was_meant() {
    let lines = report(
        Router::new()
            .section("INPUT", "forwrd", &[])
            .section("INPUT", "tcp", &[("Port", "70000")])
            .section("FILTER", "grep", &[("Match", "*"), ("Regex", "log (")])
            .section(
                "OUTPUT",
                "cloudwatch_logs",
                &[
                    ("Match", "*"),
                    ("regon", "eu-west-1"),
                    ("region", "eu-west-1"),
                    ("log_group_name", "group"),
                    ("log_stream_name", "stream"),
                    ("log_group_class", "CHEAP"),
                    ("endpoint", "http://["),
                    ("auto_create_group", "On"),
                ],
            ),
    );
    let said = |part: &str| {
        let found = lines.iter().any(|line| line.contains(part));
        assert!(found, "nothing says {part:?} in\n{}", lines.join("\n"));
    };
    said("sluice.conf:6:5: key `name`: no plugin `forwrd`; did you mean `forward`?");
    said("sluice.conf:9:5: key `port`: `70000` is no port");
    said("sluice.conf:13:5: key `regex`");
    said(
        "sluice.conf:17:5: key `regon`: unknown property of output `cloudwatch_logs`; did you mean `region`?",
    );
    said("sluice.conf:21:5: key `log_group_class`");
    said("sluice.conf:22:5: key `endpoint`");
    let errors = lines
        .iter()
        .filter(|line| line.starts_with("[error] [config] "));
    assert_eq!(errors.count(), 6, "{}", lines.join("\n"));
    assert!(lines.last().unwrap().contains("aborting"));
}

#[test]
fn a_missing_file_names_the_line_that_includes_it() {
    let lines = report(Router::new().service("Parsers_File", "nowhere.conf"));
    let named = |line: &String| line.contains("sluice.conf:5") && line.contains("nowhere.conf");
    assert!(lines.iter().any(named), "{}", lines.join("\n"));
}

#[test]
fn a_port_in_use_ends_it_with_the_address_and_what_to_do() {
    let first = Router::new().forward(&[]).file("all.txt", &[]).start();
    let port = first.forward().port().to_string();
    let listen = [("Listen", "127.0.0.1"), ("Port", port.as_str())];
    let mut second = Router::new()
        .section("INPUT", "forward", &listen)
        .file("all.txt", &[])
        .launch();
    assert_eq!(second.process.end().code(), Some(255));
    let text = second.process.text();
    assert!(
        text.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{text}"
    );
    assert!(text.contains("is another router running?"), "{text}");
}
