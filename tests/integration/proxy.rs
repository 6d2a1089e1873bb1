use super::support::{Frame, Proxy, Router, Sink};

/// A router whose services are reached by TLS, in an environment with a proxy.
fn router(sink: &Sink, proxy: &Proxy, settings: &[(&str, &str)]) -> Router {
    let ca_file = sink.ca_file();
    let tls = [("tls", "On"), ("tls.ca_file", &*ca_file)];
    let url = format!("http://me:pw@{}", proxy.address);
    Router::new()
        .environment("HTTP_PROXY", &url)
        .forward(&[])
        .logs(sink, &[&tls, settings].concat())
}

#[test]
fn a_service_is_reached_through_the_proxy_of_the_environment() {
    let (sink, proxy) = (Sink::start(), Proxy::start());
    let router = router(&sink, &proxy, &[]).start();
    router.connect().send(&Frame::new("app").marked(0, 0, 50));
    sink.has(1);
    let heads = proxy.heads();
    let start = format!("CONNECT {} HTTP/1.1\r\n", sink.endpoint);
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&start), "{head}");
        assert!(
            head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"),
            "{head}"
        );
    }
    let log = router.process.text();
    assert!(!log.contains("pw@") && !log.contains("bWU6cHc="), "{log}");
}

#[test]
fn a_service_that_no_proxy_lists_is_reached_directly() {
    let (sink, proxy) = (Sink::start(), Proxy::start());
    let router = router(&sink, &proxy, &[])
        .environment("NO_PROXY", "localhost, 127.0.0.1")
        .start();
    router.connect().send(&Frame::new("app").marked(0, 0, 50));
    sink.has(1);
    assert_eq!(proxy.heads(), [""; 0]);
}

#[test]
fn a_section_may_have_a_proxy_of_its_own() {
    let (sink, unused, proxy) = (Sink::start(), Proxy::start(), Proxy::start());
    let url = format!("http://{}", proxy.address);
    let router = router(&sink, &unused, &[("proxy", &url)]).start();
    router.connect().send(&Frame::new("app").marked(0, 0, 50));
    sink.has(1);
    assert!(!proxy.heads().is_empty());
    assert_eq!(unused.heads(), [""; 0]);
}

#[test]
fn a_proxy_that_refuses_is_named_and_loses_nothing() {
    let (sink, proxy) = (Sink::start(), Proxy::start());
    proxy.close(true);
    let router = router(&sink, &proxy, &[]).start();
    router
        .connect()
        .send(&Frame::new("app").marked(0, 0, 50).marked(0, 1, 50));
    let line = router.process.says("the events are held");
    let expected = format!(
        "the proxy {} does not connect us to {}: it says `HTTP/1.1 403 Forbidden`",
        proxy.address, sink.endpoint
    );
    assert!(line.contains(&expected), "{line}");
    proxy.close(false);
    sink.has(2);
}
