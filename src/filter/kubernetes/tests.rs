use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::super::fake::{Fake, Reply, ok, status};
use super::super::stand::{Stand, built, built_in};
use super::*;
use crate::config::{Problems, Section, SectionKind, Variables};
use crate::parser::Parsers;

const ID: &str = "49095ab1236ab7ff4a48cd0cb3a8a9a1f8bb5b3c7e2d1f00aabbccddeeff0011";

fn tag() -> String {
    format!("kube.var.log.containers.web-1_shop_app-{ID}.log")
}

const POD: &str = r#"{"kind":"Pod","metadata":{"name":"web-1","namespace":"shop","uid":"u-1",
  "labels":{"app":"web"},"annotations":{"note":"n"},"ownerReferences":[{"kind":"ReplicaSet"}]},
  "spec":{"nodeName":"node-1"},
  "status":{"podIP":"10.1.2.3","containerStatuses":[
    {"name":"side","imageID":"docker://wrong","image":"wrong"},
    {"name":"app","containerID":"containerd://cid","imageID":"docker-pullable://img@sha256:1","image":"img:1"}]}}"#;

/// What is appended for it by default.
const MAP: &str = r#""kubernetes":{"pod_name":"web-1","namespace_name":"shop","pod_id":"u-1","labels":{"app":"web"},"annotations":{"note":"n"},"host":"node-1","pod_ip":"10.1.2.3","container_name":"app","docker_id":"49095ab1236ab7ff4a48cd0cb3a8a9a1f8bb5b3c7e2d1f00aabbccddeeff0011","container_hash":"img@sha256:1","container_image":"img:1"}"#;

fn pod_path(head: &str) -> bool {
    head.starts_with("GET /api/v1/namespaces/shop/pods/web-1 ")
}

/// An API server with one pod and one namespace.
fn api(head: &str) -> Reply {
    match head.split(' ').nth(1) {
        _ if pod_path(head) => ok(POD),
        Some("/api/v1/namespaces/shop") => ok(
            r#"{"metadata":{"name":"shop","labels":{"team":"t"},"annotations":{"fluentbit.io/exclude":"true"}}}"#,
        ),
        _ => status(404),
    }
}

/// The pod with other annotations.
fn annotated(annotations: &str) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let pod = POD.replace(r#"{"note":"n"}"#, annotations);
    move |_: &str| ok(&pod)
}

fn parsers() -> Parsers {
    let sections = [
        &[
            ("name", "lvl"),
            ("format", "regex"),
            ("regex", "^(?<level>[A-Z]+) (?<message>.*)$"),
        ][..],
        &[("name", "kv"), ("format", "logfmt")],
        &[
            ("name", "when"),
            ("format", "json"),
            ("time_key", "t"),
            ("time_format", "%s"),
        ],
        &[
            ("name", "names"),
            ("format", "regex"),
            (
                "regex",
                r"^(?<namespace_name>[^.]+)\.(?<pod_name>[^.]+)\.(?<container_name>.+)$",
            ),
        ],
    ];
    let sections = sections.map(|properties| Section::of_pairs(SectionKind::Parser, properties));
    Parsers::read(&sections, &Variables::default(), &mut Problems::default())
}

fn made(properties: &[(&str, &str)]) -> Box<dyn MakeOperator> {
    let (maker, problems) = built_in(&Variables::default(), &parsers(), build, properties);
    assert_eq!(problems, [""; 0]);
    if let Some(task) = maker.task() {
        tokio::spawn(task);
    }
    maker
}

/// A filter that asks `fake` by plain HTTP.
fn asking(fake: &Fake, more: &[(&str, &str)]) -> Box<dyn MakeOperator> {
    let url = format!("http://{}", fake.address);
    made(
        &[
            &[("kube_url", &*url), ("kube_token_file", "/nowhere")],
            more,
        ]
        .concat(),
    )
}

async fn filtered(maker: &dyn MakeOperator, record: &str) -> String {
    Stand::of_tag(maker, &tag()).send_ready(record).await
}

#[tokio::test]
async fn what_the_api_knows_of_the_pod_is_appended_and_asked_for_once() {
    let fake = Fake::start(api).await;
    let maker = asking(&fake, &[]);
    let expected = format!(r#"{{"log":"x",{MAP}}}"#);
    for _ in 0..3 {
        assert_eq!(filtered(&*maker, r#"{"log":"x"}"#).await, expected);
    }
    assert_eq!(fake.asked(), ["GET /api/v1/namespaces/shop/pods/web-1"]);
    assert!(!fake.heads().concat().contains("authorization"));
}

#[tokio::test]
async fn parts_of_it_can_be_left_out_or_added() {
    let fake = Fake::start(api).await;
    let off = [
        ("labels", "off"),
        ("annotations", "off"),
        ("owner_references", "on"),
    ];
    let map = MAP.replace(
        r#""labels":{"app":"web"},"annotations":{"note":"n"}"#,
        r#""ownerReferences":[{"kind":"ReplicaSet"}]"#,
    );
    let expected = format!("{{{map}}}");
    assert_eq!(filtered(&*asking(&fake, &off), "{}").await, expected);
    let namespace = [("namespace_labels", "on")];
    let expected =
        format!(r#"{{{MAP},"kubernetes_namespace":{{"name":"shop","labels":{{"team":"t"}}}}}}"#);
    assert_eq!(filtered(&*asking(&fake, &namespace), "{}").await, expected);
    let only = [
        ("namespace_annotations", "on"),
        ("namespace_metadata_only", "on"),
    ];
    let expected =
        r#"{"kubernetes_namespace":{"name":"shop","annotations":{"fluentbit.io/exclude":"true"}}}"#;
    assert_eq!(filtered(&*asking(&fake, &only), "{}").await, expected);
}

#[tokio::test]
async fn names_come_from_the_tag_in_every_way_that_can_be_configured() {
    let use_tag = ("use_tag_for_meta", "on");
    let expected = format!(
        r#"{{"kubernetes":{{"pod_name":"web-1","namespace_name":"shop","container_name":"app","docker_id":"{ID}"}}}}"#
    );
    assert_eq!(filtered(&*made(&[use_tag]), "{}").await, expected);
    let prefixed = made(&[use_tag, ("kube_tag_prefix", "k.")]);
    let other_tag = tag().replace("kube.var.log.containers.", "k.");
    let record = Stand::of_tag(&*prefixed, &other_tag).send_ready("{}").await;
    assert_eq!(record, expected);
    let parsed = made(&[
        use_tag,
        ("regex_parser", "names"),
        ("kube_tag_prefix", "k."),
    ]);
    let record = Stand::of_tag(&*parsed, "k.ns.p.c").send_ready("{}").await;
    assert_eq!(
        record,
        r#"{"kubernetes":{"pod_name":"p","namespace_name":"ns","container_name":"c"}}"#
    );
    for tag in ["kube.", "app", "kube.var.log.containers.nothing.log"] {
        let maker = made(&[use_tag, ("merge_log", "on")]);
        let mut stand = Stand::of_tag(&*maker, tag);
        let record = r#"{"log":"{\"a\":1}"}"#;
        assert_eq!(stand.send_ready(record).await, record, "{tag}");
    }
}

#[tokio::test]
async fn a_tag_leads_to_nothing_but_pods() {
    let fake = Fake::start(api).await;
    let maker = asking(
        &fake,
        &[
            ("namespace_labels", "on"),
            ("regex_parser", "names"),
            ("kube_tag_prefix", "k."),
        ],
    );
    for tag in ["k.../../secrets.p.c", "k.a/b.p.c", "k.n.p?x.c", "k.n s.p.c"] {
        Stand::of_tag(&*maker, tag).send_ready("{}").await;
    }
    Stand::of_tag(&*maker, "k.shop.web-1.app")
        .send_ready("{}")
        .await;
    let asked = fake.asked().concat();
    assert!(
        !asked.contains("secrets") && !asked.contains("a/b"),
        "{asked}"
    );
    assert!(
        !asked.contains('?') && asked.contains("shop/pods/web-1"),
        "{asked}"
    );
}

#[tokio::test]
async fn in_the_journal_each_event_names_its_container() {
    let fake = Fake::start(api).await;
    let maker = asking(
        &fake,
        &[
            ("use_journal", "on"),
            ("labels", "off"),
            ("annotations", "off"),
        ],
    );
    let mut stand = Stand::of_tag(&*maker, "journal");
    let name = r#""CONTAINER_NAME":"k8s_app.h45h_web-1_shop_uid_0""#;
    let record = stand.send_ready(&format!("{{{name}}}")).await;
    let map = r#""kubernetes":{"pod_name":"web-1","namespace_name":"shop","pod_id":"u-1","host":"node-1","pod_ip":"10.1.2.3","container_name":"app","docker_id":"cid","container_hash":"h45h","container_image":"img:1"}"#;
    assert_eq!(record, format!("{{{name},{map}}}"));
    for other in [
        r#"{"MESSAGE":"m"}"#,
        r#"{"CONTAINER_NAME":"x"}"#,
        r#"{"CONTAINER_NAME":5}"#,
    ] {
        assert_eq!(stand.send_ready(other).await, other);
    }
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn what_an_application_wrote_as_json_becomes_pairs() {
    let record = r#"{"log":"{\"a\":\"x\\n\",\"b\":{\"c\":1}}\n","stream":"stdout"}"#;
    let tag_only = ("use_tag_for_meta", "on");
    let merged = |more: &[(&str, &str)]| {
        let maker = made(&[&[tag_only, ("merge_log", "on")], more].concat());
        let record = record.to_owned();
        async move {
            let record = filtered(&*maker, &record).await;
            record.split(r#","kubernetes""#).next().unwrap().to_owned()
        }
    };
    let log = r#"{"log":"{\"a\":\"x\\n\",\"b\":{\"c\":1}}\n","stream":"stdout""#;
    assert_eq!(merged(&[]).await, format!(r#"{log},"a":"x","b":{{"c":1}}"#));
    let untrimmed = merged(&[("merge_log_trim", "off")]).await;
    assert_eq!(untrimmed, format!(r#"{log},"a":"x\n","b":{{"c":1}}"#));
    let under = merged(&[("merge_log_key", "app"), ("keep_log", "off")]).await;
    assert_eq!(under, r#"{"stream":"stdout","app":{"a":"x","b":{"c":1}}"#);
    let maker = made(&[tag_only, ("merge_log", "on"), ("keep_log", "off")]);
    for (record, expected) in [
        (r#"{"log":"text"}"#, r#"{"log":"text","#),
        (r#"{"log":"[1]"}"#, r#"{"log":"[1]","#),
        (r#"{"log":"{}{}"}"#, r#"{"log":"{}{}","#),
        (r#"{"log":"{}"}"#, r#"{"kubernetes""#),
        (r#"{"log":{"a":"x\n"},"z":1}"#, r#"{"z":1,"a":"x\n","#),
        (r#"{"log":5}"#, r#"{"log":5,"#),
        (r#"{"other":1}"#, r#"{"other":1,"#),
    ] {
        let out = filtered(&*maker, record).await;
        assert!(out.starts_with(expected), "{record}: {out}");
    }
    let maker = made(&[tag_only, ("merge_log", "on"), ("merge_parser", "lvl")]);
    let out = filtered(&*maker, r#"{"log":"WARN low"}"#).await;
    assert!(
        out.starts_with(r#"{"log":"WARN low","level":"WARN","message":"low","#),
        "{out}"
    );
}

#[tokio::test]
async fn a_text_nested_as_deep_as_a_record_may_be_is_not_put_under_a_key() {
    let deep = |levels: usize| format!("{}1{}", r#"{\"a\":"#.repeat(levels), "}".repeat(levels));
    let record = |levels| format!(r#"{{"log":"{}"}}"#, deep(levels));
    let levels = (1..2000).rev().find(|levels| {
        let text = deep(*levels).replace('\\', "");
        crate::parser::json::to_msgpack(text.as_bytes(), &mut Vec::new()).is_ok()
    });
    let levels = levels.unwrap();
    let maker = made(&[
        ("use_tag_for_meta", "on"),
        ("merge_log", "on"),
        ("merge_log_key", "k"),
    ]);
    for levels in [levels - 2, levels - 1, levels] {
        let out = filtered(&*maker, &record(levels)).await;
        let mut bytes = Vec::new();
        let read = crate::parser::json::to_msgpack(out.as_bytes(), &mut bytes);
        let is_merged = out.contains(r#""k":{"#);
        assert!(
            is_merged || out.starts_with(&record(levels)[..20]),
            "{levels}"
        );
        assert!(read.is_ok() || is_merged, "{levels}");
    }
}

#[tokio::test]
async fn pods_may_name_a_parser_where_that_is_allowed() {
    let log = r#"{"log":"WARN a=1","stream":"stdout"}"#;
    let allowed = ("k8s-logging.parser", "on");
    let merge = ("merge_log", "on");
    for (annotations, stream, expected) in [
        (
            r#"{"fluentbit.io/parser":"lvl"}"#,
            "stdout",
            r#""level":"WARN""#,
        ),
        (
            r#"{"fluentbit.io/parser":"lvl","fluentbit.io/parser_stdout":"kv"}"#,
            "stdout",
            r#""a":"1""#,
        ),
        (
            r#"{"fluentbit.io/parser":"lvl","fluentbit.io/parser_stdout":"kv"}"#,
            "stderr",
            r#""level":"WARN""#,
        ),
        (
            r#"{"fluentbit.io/parser-app":"lvl","fluentbit.io/parser_stdout":"kv"}"#,
            "stdout",
            r#""level":"WARN""#,
        ),
        (
            r#"{"fluentbit.io/parser-other":"lvl"}"#,
            "stdout",
            r#"stream":"stdout","kubernetes""#,
        ),
        (
            r#"{"fluentbit.io/parser_stderr":"lvl"}"#,
            "stdout",
            r#"stream":"stdout","kubernetes""#,
        ),
        (
            r#"{"fluentbit.io/parser":"nope"}"#,
            "stdout",
            r#"stream":"stdout","kubernetes""#,
        ),
        (
            r#"{"fluentbit.io/parser_stdout":"lvl"}"#,
            "none",
            r#"stream":"none","kubernetes""#,
        ),
        (
            r#"{"fluentbit.io/parser":"lvl"}"#,
            "none",
            r#""level":"WARN""#,
        ),
    ] {
        let fake = Fake::start(annotated(annotations)).await;
        let record = log.replace("stdout", stream);
        let out = filtered(&*asking(&fake, &[allowed, merge]), &record).await;
        assert!(out.contains(expected), "{annotations}: {out}");
        let out = filtered(&*asking(&fake, &[merge]), &record).await;
        assert!(
            out.contains(&format!(r#"stream":"{stream}","kubernetes""#)),
            "{out}"
        );
    }
}

#[tokio::test]
async fn pods_and_namespaces_may_leave_themselves_out_where_that_is_allowed() {
    let allowed = ("k8s-logging.exclude", "on");
    for (annotations, dropped) in [
        (r#"{"fluentbit.io/exclude":"true"}"#, [true, true, true]),
        (r#"{"fluentbit.io/exclude":"false"}"#, [false, false, false]),
        (
            r#"{"fluentbit.io/exclude_stderr":"true"}"#,
            [false, true, false],
        ),
        (r#"{"fluentbit.io/exclude-app":"true"}"#, [true, true, true]),
        (
            r#"{"fluentbit.io/exclude-web":"true"}"#,
            [false, false, false],
        ),
        (
            r#"{"fluentbit.io/exclude":"true","fluentbit.io/exclude_stdout-app":"no"}"#,
            [false, true, false],
        ),
        (
            r#"{"fluentbit.io/exclude":5,"fluentbit.io/":"x","other":"true"}"#,
            [false, false, false],
        ),
    ] {
        let fake = Fake::start(annotated(annotations)).await;
        let maker = asking(&fake, &[allowed]);
        for (stream, dropped) in ["stdout", "stderr", "x"].into_iter().zip(dropped) {
            let record = format!(r#"{{"stream":"{stream}"}}"#);
            let out = filtered(&*maker, &record).await;
            assert_eq!(out == "dropped", dropped, "{annotations} {stream}");
        }
        let out = filtered(&*asking(&fake, &[]), r#"{"stream":"stdout"}"#).await;
        assert!(out.contains("kubernetes"), "{out}");
    }
    let fake = Fake::start(api).await;
    let namespace = asking(&fake, &[allowed, ("namespace_exclude", "on")]);
    assert_eq!(filtered(&*namespace, "{}").await, "dropped");
}

#[tokio::test]
async fn while_the_api_does_not_answer_events_pass_merged_and_without_the_map() {
    let wait = ("metadata_wait", "1");
    for reply in [
        || status(500),
        || status(401),
        || status(403),
        || status(404),
        || ok("no json"),
        || ok("[]"),
        || ok(r#"{"metadata":5}"#),
        || ok(&"[".repeat(100_000)),
        || Reply::Status(200, "x".repeat(3 << 20)),
        || Reply::Raw(b"HTTP/1.1 200 x\r\ncontent-length: 99\r\n\r\n{".to_vec()),
        || Reply::Silence,
    ] {
        let fake = Fake::start(move |_: &str| reply()).await;
        let maker = asking(
            &fake,
            &[wait, ("merge_log", "on"), ("namespace_labels", "on")],
        );
        let out = filtered(&*maker, r#"{"log":"{\"a\":1}"}"#).await;
        assert_eq!(out, r#"{"log":"{\"a\":1}","a":1}"#);
        assert!(!fake.asked().is_empty());
    }
}

#[tokio::test]
async fn an_answer_longer_than_the_buffer_is_not_taken() {
    let fake = Fake::start(api).await;
    let small = [("buffer_size", "100"), ("metadata_wait", "1")];
    assert_eq!(filtered(&*asking(&fake, &small), "{}").await, "{}");
    let any = [("buffer_size", "0")];
    assert_eq!(
        filtered(&*asking(&fake, &any), "{}").await,
        format!("{{{MAP}}}")
    );
}

#[tokio::test]
async fn values_of_any_kind_are_passed_on_as_they_are() {
    let pod = r#"{"metadata":{"uid":5,"labels":[1],"annotations":"x"},"spec":{"nodeName":null},"status":{"containerStatuses":{"a":1},"initContainerStatuses":[5,{"name":"app","imageID":"nocolon"}]}}"#;
    let fake = Fake::start(move |_: &str| ok(pod)).await;
    let out = filtered(&*asking(&fake, &[]), "{}").await;
    let expected = format!(
        r#"{{"kubernetes":{{"pod_name":"web-1","namespace_name":"shop","pod_id":5,"labels":[1],"annotations":"x","host":null,"container_name":"app","docker_id":"{ID}"}}}}"#
    );
    assert_eq!(out, expected);
}

/// A server's certificate for `kube.test`, and the files of a pod.
struct Identity {
    made: CertifiedKey<KeyPair>,
    folder: tempfile::TempDir,
}

impl Identity {
    fn new() -> Self {
        let made = generate_simple_self_signed(["kube.test".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("ca.crt", &made.cert.pem());
        write("token", "secret-1\n");
        Self { made, folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(self.made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.made.cert.der().clone()], key);
        Arc::new(config.unwrap()).into()
    }
}

/// Wants a token.
fn guarded(head: &str) -> Reply {
    if head.contains("authorization: Bearer secret-1\r\n") {
        api(head)
    } else {
        status(401)
    }
}

#[tokio::test]
async fn the_api_is_asked_by_tls_with_the_token_and_has_to_be_the_one_trusted() {
    let (server, stranger) = (Identity::new(), Identity::new());
    let fake = Fake::secure(server.acceptor(), guarded).await;
    let url = format!("https://{}", fake.address);
    let (ca, other, token) = (
        server.file("ca.crt"),
        stranger.file("ca.crt"),
        server.file("token"),
    );
    let base = [
        ("kube_url", &*url),
        ("kube_token_file", &token),
        ("metadata_wait", "1"),
    ];
    let vhost = ("tls.vhost", "kube.test");
    for (more, is_trusted) in [
        (&[("kube_ca_file", &*ca), vhost][..], true),
        (
            &[
                ("kube_ca_path", &*server.folder.path().display().to_string()),
                vhost,
            ],
            true,
        ),
        (
            &[("kube_ca_file", &ca), ("tls.verify_hostname", "off")],
            true,
        ),
        (&[("kube_ca_file", &ca)], false),
        (&[("kube_ca_file", &other), vhost], false),
        (&[("kube_ca_file", "/nowhere"), vhost], false),
        (&[("kube_ca_file", "/nowhere"), ("tls.verify", "off")], true),
    ] {
        let maker = made(&[&base[..], more].concat());
        let expected = if is_trusted {
            format!("{{{MAP}}}")
        } else {
            "{}".to_owned()
        };
        assert_eq!(filtered(&*maker, "{}").await, expected, "{more:?}");
    }
}

#[tokio::test]
async fn a_kubelet_is_asked_once_for_all_pods_and_need_not_be_the_one_of_its_certificate() {
    let server = Identity::new();
    let other = POD.replace("web-1", "web-11");
    let list = format!(r#"{{"kind":"PodList","items":[5,{{}},{other},{POD}]}}"#);
    let fake = Fake::secure(server.acceptor(), move |head: &str| {
        if head.starts_with("GET /pods ") && head.contains("Bearer secret-1") {
            ok(&list)
        } else {
            status(401)
        }
    })
    .await;
    let (ca, token) = (server.file("ca.crt"), server.file("token"));
    let port = fake.address.port().to_string();
    let base = [
        ("use_kubelet", "on"),
        ("kubelet_port", &*port),
        ("kube_ca_file", &ca),
        ("kube_token_file", &token),
        ("metadata_wait", "2"),
    ];
    let maker = made(&base);
    assert_eq!(filtered(&*maker, "{}").await, format!("{{{MAP}}}"));
    let gone = tag().replace("web-1", "gone");
    let mut stand = Stand::of_tag(&*maker, &gone);
    assert_eq!(stand.send_ready("{}").await, "{}");
    let strict = made(&[&base[..], &[("tls.verify_hostname", "on")]].concat());
    assert_eq!(filtered(&*strict, "{}").await, "{}");
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_read_again() {
    let identity = Identity::new();
    let fake = Fake::start(guarded).await;
    let url = format!("http://{}", fake.address);
    let token = identity.file("token");
    std::fs::write(&token, "old").unwrap();
    let maker = made(&[
        ("kube_url", &url),
        ("kube_token_file", &token),
        ("metadata_wait", "20"),
    ]);
    let mut stand = Stand::of_tag(&*maker, &tag());
    let renew = async {
        let asked = async {
            while fake.asked().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
        asked.unwrap();
        std::fs::write(&token, "secret-1").unwrap();
    };
    let (record, ()) = tokio::join!(stand.send_ready("{}"), renew);
    assert_eq!(record, format!("{{{MAP}}}"));
}

#[tokio::test]
async fn a_command_can_give_the_token() {
    let fake = Fake::start(guarded).await;
    let url = format!("http://{}", fake.address);
    for (command, is_token) in [
        ("printf 'secret-%d' 1", true),
        ("echo secret-1; exit 3", false),
        ("true", false),
        ("printf 'a\\001b'", false),
    ] {
        let properties = [
            ("kube_url", &*url),
            ("kube_token_command", command),
            ("metadata_wait", "1"),
        ];
        let expected = if is_token {
            format!("{{{MAP}}}")
        } else {
            "{}".to_owned()
        };
        assert_eq!(
            filtered(&*made(&properties), "{}").await,
            expected,
            "{command}"
        );
    }
}

#[tokio::test]
async fn prepared_files_stand_in_for_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("shop_web-1.meta", POD);
    write("shop.namespace_meta", r#"{"metadata":{"labels":{"l":1}}}"#);
    let fake = Fake::start(|_: &str| status(500)).await;
    let path = folder.path().display().to_string();
    let maker = asking(
        &fake,
        &[
            ("kube_meta_preload_cache_dir", &path),
            ("namespace_labels", "on"),
        ],
    );
    let expected =
        format!(r#"{{{MAP},"kubernetes_namespace":{{"name":"shop","labels":{{"l":1}}}}}}"#);
    assert_eq!(filtered(&*maker, "{}").await, expected);
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn what_is_known_of_a_pod_is_asked_for_again_after_its_time() {
    let fake = Fake::start(api).await;
    let maker = asking(&fake, &[("kube_meta_cache_ttl", "1")]);
    let mut stand = Stand::of_tag(&*maker, &tag());
    stand.send_ready("{}").await;
    let again = async {
        while fake.asked().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again)
        .await
        .unwrap();
}

#[tokio::test]
async fn dummy_metadata_tells_the_time() {
    let out = filtered(&*made(&[("dummy_meta", "on")]), "{}").await;
    assert!(out.starts_with(r#"{"kubernetes":{"dummy":""#), "{out}");
}

#[test]
fn the_patterns_of_names_are_patterns() {
    for use_journal in ["off", "on"] {
        let (_, problems) = built(build, &[("use_journal", use_journal)]);
        assert_eq!(problems, [""; 0]);
    }
    let shared = |properties: &[(&str, &str)]| {
        crate::config::testing::configured(properties, |settings| {
            let means = Means {
                parsers: &Parsers::default(),
                variables: &Variables::default(),
                directory: std::path::Path::new(""),
                halt: &super::super::Halt::default(),
            };
            Options::read(settings, means).0.namer
        })
        .0
    };
    let names = shared(&[]).of_tag(tag().as_bytes()).unwrap();
    assert_eq!(names.pod.as_deref(), Some("web-1"));
    let names = shared(&[("use_journal", "on")])
        .of_text(b"k8s_c_p_n_u_0")
        .unwrap();
    assert_eq!(
        (names.container.as_deref(), names.container_hash.as_deref()),
        (Some("c"), None)
    );
}

#[test]
fn wrong_settings_are_refused_and_those_without_effect_told() {
    for (property, words) in [
        (("kube_url", "ftp://x"), "is no URL"),
        (
            ("regex_parser", "none"),
            "error: command line: key `regex_parser`: there is no parser",
        ),
        (
            ("merge_parser", "none"),
            "warning: command line: key `merge_parser`: there is no parser",
        ),
        (("kubelet_port", "x"), "is no port"),
        (("labels", "maybe"), "neither on nor off"),
        (("kube_urll", "x"), "did you mean"),
        (
            ("use_pod_association", "on"),
            "warning: command line: key `use_pod_association`",
        ),
        (("tls.vhost", "a b"), "is no host name"),
    ] {
        let (_, problems) = built(build, &[property]);
        assert!(problems.concat().contains(words), "{problems:?}");
    }
}

#[tokio::test]
async fn an_event_that_had_to_wait_is_dropped_where_its_pod_leaves_itself_out() {
    let fake = Fake::start(annotated(r#"{"fluentbit.io/exclude":"true"}"#)).await;
    let maker = asking(&fake, &[("k8s-logging.exclude", "on")]);
    let mut stand = Stand::of_tag(&*maker, &tag());
    assert_eq!(stand.send(r#"{"log":"1"}"#), [""; 0]);
    assert!(stand.operator.held() > 0);
    stand
        .operator
        .ready(&Block::default())
        .expect("the pod is asked for")
        .await;
    assert_eq!(stand.release(false), [""; 0]);
    assert_eq!((stand.operator.held(), stand.operator.due()), (0, None));
}
