use serde_json::json;

use super::support::{Client, Frame, Router, Running, ask, eventually};

/// Counts texts, and drops the logs behind that.
fn router(http: &str) -> Router {
    Router::new()
        .service("HTTP_Server", http)
        .service("HTTP_Listen", "127.0.0.1")
        .service("HTTP_Port", "0")
        .service("Hot_Reload", "On")
        .forward(&[("Alias", "din")])
        .section(
            "FILTER",
            "log_to_metrics",
            &[
                ("Match", "*"),
                ("metric_name", "texts"),
                ("metric_description", "What was said."),
                ("exclude", "log ^debug"),
                ("add_label", "text log"),
            ],
        )
        .section("OUTPUT", "null", &[("Match", "*")])
}

fn send(router: &Running, texts: &[&str]) {
    let mut client = Client::connect(router.address("din"));
    let frame = texts
        .iter()
        .fold(Frame::new("app"), |frame, text| frame.log(text));
    client.send(&frame);
}

/// Waits until the metrics hold this.
fn shows(router: &Running, text: &str) {
    let metrics = || ask(router.http(), "GET", "/metrics", "").body;
    eventually(text, metrics, || metrics().contains(text).then_some(()));
}

#[test]
fn what_logs_say_is_shown_as_metrics_and_goes_on_over_a_reload() {
    let router = router("On").launch();
    send(&router, &["hello", "debug it", "say \"hi\"", "hello"]);
    shows(
        &router,
        "# HELP log_metric_counter_texts What was said.\n\
         # TYPE log_metric_counter_texts counter\n\
         log_metric_counter_texts{text=\"hello\"} 2\n\
         log_metric_counter_texts{text=\"say \\\"hi\\\"\"} 1\n",
    );
    let reply = ask(
        router.http(),
        "POST",
        "/api/v2/reload",
        "Content-Length: 0\r\n",
    );
    assert_eq!(reply.json(), json!({"reload": "done", "status": 0}));
    send(&router, &["hello"]);
    shows(&router, "log_metric_counter_texts{text=\"hello\"} 3\n");
}

#[test]
fn metrics_that_nobody_can_see_are_warned_about() {
    let router = router("Off").launch();
    router
        .process
        .says("its metrics can only be seen with `HTTP_Server On`");
}
