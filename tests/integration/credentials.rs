use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use super::support::{ACCESS_KEY, Frame, Router, Running, SECRET_KEY, Sink, ack, eventually};

/// Answers every request with the same text and keeps what was asked.
struct Endpoint {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    fn answering(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                kept.lock().unwrap().push(head);
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\
                     x-aws-ec2-metadata-token-ttl-seconds: 600\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, heads }
    }

    /// One that gives the key that the sink takes, for an hour.
    fn of_keys() -> Self {
        Self::of_keys_for(jiff::SignedDuration::from_hours(1))
    }

    /// The same for some time.
    fn of_keys_for(time: jiff::SignedDuration) -> Self {
        let end = jiff::Timestamp::now() + time;
        Self::answering(format!(
            r#"{{"AccessKeyId":"{ACCESS_KEY}","SecretAccessKey":"{SECRET_KEY}","Token":"session","Expiration":"{end}"}}"#
        ))
    }

    fn url(&self) -> String {
        format!("http://{}/creds/me", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A sink that takes temporary credentials only.
fn of_session() -> Sink {
    Sink::with(&["--session-token", "session"])
}

/// Sends a record, which arrives only if the signature is right.
fn delivers(router: &Running, sink: &Sink) {
    router.connect().send(&Frame::new("app").marked(0, 0, 50));
    sink.has(1);
}

/// Checklist: outputs 38; firelens 32
#[test]
fn a_container_asks_the_full_url_with_the_token_of_the_file() {
    let (sink, endpoint) = (of_session(), Endpoint::of_keys());
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "pod-token").unwrap();
    let router = Router::new()
        .without_credentials()
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &endpoint.url())
        .environment("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the environment")
        .environment(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.to_str().unwrap(),
        )
        .forward(&[])
        .logs(&sink, &[])
        .firehose(&sink, &[])
        .start();
    delivers(&router, &sink);
    router.settles();
    let heads = endpoint.heads();
    let [head] = &heads[..] else {
        panic!("two outputs of one identity share one provider: {heads:?}");
    };
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("get /creds/me http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: pod-token\r\n"), "{head}");
}

/// Checklist: outputs 38; firelens 32
#[test]
fn a_profile_is_that_of_the_output_and_not_of_the_environment() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let text = format!(
        "[default]\naws_access_key_id = WRONG\naws_secret_access_key = wrong\n\
         [mine]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    );
    std::fs::write(&file, text).unwrap();
    let router = Router::new()
        .without_credentials()
        .environment("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())
        .environment("AWS_CONFIG_FILE", "/dev/null")
        .environment("AWS_PROFILE", "default")
        .environment("AWS_EC2_METADATA_DISABLED", "true")
        .forward(&[])
        .logs(&sink, &[("profile", "mine")])
        .start();
    delivers(&router, &sink);
}

/// A service that exchanges every token for the key that the sink takes.
fn sts() -> Endpoint {
    Endpoint::answering(format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{ACCESS_KEY}</AccessKeyId>\
         <SecretAccessKey>{SECRET_KEY}</SecretAccessKey><SessionToken>session</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    ))
}

/// Checklist: outputs 38; firelens 32
#[test]
fn a_web_identity_comes_before_a_container_and_a_container_before_the_instance() {
    let (sink, sts) = (of_session(), sts());
    let (container, instance) = (Endpoint::of_keys(), Endpoint::answering("{}".to_owned()));
    let instance_url = format!("http://{}", instance.address);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "web-token").unwrap();
    let common = || {
        Router::new()
            .without_credentials()
            .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container.url())
            .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance_url)
    };
    let router = common()
        .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/logs")
        .environment("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap())
        .environment("AWS_ENDPOINT_URL_STS", &format!("http://{}", sts.address))
        .forward(&[])
        .logs(&sink, &[])
        .start();
    delivers(&router, &sink);
    assert_eq!((sts.heads().len(), container.heads().len()), (1, 0));
    let sink = of_session();
    let router = common().forward(&[]).logs(&sink, &[]).start();
    delivers(&router, &sink);
    assert_eq!((container.heads().len(), instance.heads().len()), (1, 0));
}

/// Checklist: outputs 38; firelens 32
#[test]
fn a_relative_url_comes_before_a_full_one() {
    let (sink, full) = (of_session(), Endpoint::of_keys());
    let router = Router::new()
        .without_credentials()
        .environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/creds/me")
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &full.url())
        .environment("AWS_EC2_METADATA_DISABLED", "true")
        .forward(&[])
        .logs(&sink, &[])
        .start();
    router.connect().send(&Frame::new("app").marked(0, 0, 50));
    // Nobody answers at the address of relative URLs here.
    router.process.says("the events are held");
    assert_eq!(full.heads(), [""; 0]);
}

/// Checklist: outputs 38
#[test]
fn the_file_of_a_token_is_read_each_time() {
    let brief = jiff::SignedDuration::from_secs(3);
    let (sink, endpoint) = (of_session(), Endpoint::of_keys_for(brief));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first").unwrap();
    let router = Router::new()
        .without_credentials()
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &endpoint.url())
        .environment(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.to_str().unwrap(),
        )
        .forward(&[])
        .logs(&sink, &[])
        .start();
    delivers(&router, &sink);
    std::fs::write(&token, "second").unwrap();
    let mut client = router.connect();
    let sent = |head: &str, token: &str| {
        let wanted = format!("authorization: {token}\r\n");
        head.to_ascii_lowercase().contains(&wanted)
    };
    eventually(
        "the second token is sent",
        || format!("{:?}", endpoint.heads()),
        || {
            client.send(&Frame::new("app").marked(0, 0, 50));
            sent(endpoint.heads().last()?, "second").then_some(())
        },
    );
    assert!(sent(&endpoint.heads()[0], "first"));
}

/// Checklist: outputs 40
#[test]
fn the_region_is_that_of_the_profile_and_else_that_of_the_instance() {
    // It answers with the same words when it is asked for a token and when it is asked for the region.
    let instance = Endpoint::answering("eu-west-1".to_owned());
    let folder = tempfile::tempdir().unwrap();
    for (profile, is_asked) in [("[default]\nregion = eu-west-1\n", false), ("", true)] {
        let sink = Sink::start();
        let config = folder.path().join("config");
        std::fs::write(&config, profile).unwrap();
        let endpoint = sink.endpoint.to_string();
        let router = Router::new()
            .environment("AWS_CONFIG_FILE", config.to_str().unwrap())
            .environment(
                "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                &format!("http://{}", instance.address),
            )
            .forward(&[])
            .section(
                "OUTPUT",
                "kinesis_firehose",
                &[
                    ("Match", "*"),
                    ("endpoint", &endpoint),
                    ("tls", "Off"),
                    ("delivery_stream", "delivery"),
                    ("log_key", "log"),
                ],
            )
            .start();
        delivers(&router, &sink);
        let asked = instance.heads().iter().any(|head| head.contains("/region"));
        assert_eq!(asked, is_asked);
    }
}

#[test]
fn the_go_plugin_asks_the_endpoint_of_its_section() {
    let (sink, endpoint) = (of_session(), Endpoint::of_keys());
    let (service, url) = (format!("http://{}", sink.endpoint), endpoint.url());
    let router = Router::new()
        .environment("AWS_ACCESS_KEY_ID", "WRONG")
        .forward(&[])
        .section(
            "OUTPUT",
            "cloudwatch",
            &[
                ("Match", "*"),
                ("region", "eu-west-1"),
                ("endpoint", &service),
                ("log_group_name", "group"),
                ("log_stream_prefix", "-"),
                ("log_key", "log"),
                ("auto_create_group", "true"),
                ("credentials_endpoint", &url),
            ],
        )
        .start();
    delivers(&router, &sink);
    assert!(endpoint.heads()[0].starts_with("GET /creds/me HTTP/1.1\r\n"));
}

/// Checklist: firelens 36
#[test]
fn credentials_that_nobody_gives_hold_up_neither_the_start_nor_the_events() {
    let sink = Sink::start();
    // Nobody takes the connection from the queue: the endpoint hangs.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let router = Router::new()
        .without_credentials()
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)
        .environment("AWS_EC2_METADATA_DISABLED", "true")
        .forward(&[])
        .logs(&sink, &[])
        .start();
    let mut client = router.connect();
    client.send(&Frame::new("app").marked(0, 0, 50).chunk("held"));
    let expected = ack("held");
    assert_eq!(client.read(expected.len()), expected);
    let _asked = silent.accept().unwrap();
    assert_eq!(sink.stats()["items"], 0);
}

/// Checklist: outputs 38
#[test]
fn keys_of_the_environment_come_before_a_profile_a_web_identity_and_a_container() {
    let (sink, endpoint) = (Sink::start(), Endpoint::answering("{}".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let wrong = "[default]\naws_access_key_id = WRONG\naws_secret_access_key = wrong\n";
    std::fs::write(&file, wrong).unwrap();
    let file = file.to_str().unwrap();
    let common = |router: Router| {
        router
            .environment("AWS_CONFIG_FILE", "/dev/null")
            .environment("AWS_EC2_METADATA_DISABLED", "true")
            .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/logs")
            .environment("AWS_WEB_IDENTITY_TOKEN_FILE", file)
            .environment("AWS_ENDPOINT_URL_STS", &endpoint.url())
            .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &endpoint.url())
    };
    let router = common(Router::new().environment("AWS_SHARED_CREDENTIALS_FILE", file))
        .forward(&[])
        .logs(&sink, &[])
        .start();
    delivers(&router, &sink);
    let right = folder.path().join("right");
    let text = format!(
        "[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    );
    std::fs::write(&right, text).unwrap();
    let right = right.to_str().unwrap();
    let sink = Sink::start();
    let router = common(Router::new().without_credentials())
        .environment("AWS_SHARED_CREDENTIALS_FILE", right)
        .forward(&[])
        .logs(&sink, &[])
        .start();
    delivers(&router, &sink);
    assert_eq!(endpoint.heads(), [""; 0]);
}

/// Checklist: outputs 38
#[test]
fn credentials_are_not_asked_for_in_the_clear_of_a_host_far_away() {
    let sink = Sink::start();
    let router = Router::new()
        .without_credentials()
        .environment("AWS_EC2_METADATA_DISABLED", "true")
        .environment(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://192.0.2.1/creds",
        )
        .forward(&[])
        .logs(&sink, &[])
        .start();
    router.connect().send(&Frame::new("app").marked(0, 0, 50));
    let line = router.process.says("the events are held");
    assert!(line.contains("credentials"), "{line}");
    assert_eq!(sink.stats()["requests"], serde_json::json!({}));
}
