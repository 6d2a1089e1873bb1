//! Numbers in brackets are those of the reference's checklists.

use super::super::fake::{Fake, Reply, ok, status};
use super::super::stand::{Stand, built_in};
use super::*;
use crate::config::Variables;
use crate::parser::Parsers;

/// A filter that asks `fake`.
fn filter(fake: &Fake, properties: &[(&str, &str)]) -> Box<dyn MakeOperator> {
    let endpoint = format!("http://{}/", fake.address);
    let variables = Variables::from_pairs([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)]);
    let (maker, problems) = built_in(&variables, &Parsers::default(), build, properties);
    assert_eq!(problems, [""; 0]);
    tokio::spawn(maker.task().unwrap());
    maker
}

async fn filtered(fake: &Fake, properties: &[(&str, &str)]) -> String {
    let maker = filter(fake, properties);
    Stand::new(&*maker).send_ready(r#"{"log":"x"}"#).await
}

/// What an instance says at a path behind `/latest/`.
fn instance(path: &str) -> Reply {
    match path {
        "meta-data/placement/availability-zone" => ok("us-west-2c"),
        "meta-data/instance-id" => ok("i-0c86"),
        "meta-data/instance-type" => ok("t3.micro"),
        "meta-data/local-ipv4" => ok("10.0.0.7"),
        "meta-data/mac" => ok("0e:49:61:0f:c3:11"),
        "meta-data/network/interfaces/macs/0e:49:61:0f:c3:11/vpc-id" => ok("vpc-1"),
        "meta-data/ami-id" => ok("ami-2"),
        "meta-data/hostname" => ok("ip-10-0-0-7"),
        "dynamic/instance-identity/document" => ok(r#"{"accountId":"123","region":"r"}"#),
        "meta-data/tags/instance" => ok("Name\nteam/a b\ncost"),
        "meta-data/tags/instance/Name" => ok("web"),
        "meta-data/tags/instance/team%2Fa%20b" => ok("blue"),
        "meta-data/tags/instance/cost" => ok("9"),
        _ => status(404),
    }
}

fn path(head: &str) -> &str {
    let path = head.split(' ').nth(1).unwrap_or_default();
    path.strip_prefix("/latest/").unwrap_or_default()
}

/// A service that gives the token `T` and wants it.
fn with_tokens(head: &str) -> Reply {
    if head.starts_with("PUT /latest/api/token ") {
        let is_right = head.contains("x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
        return if is_right { ok("T") } else { status(400) };
    }
    if head.contains("x-aws-ec2-metadata-token: T\r\n") {
        instance(path(head))
    } else {
        status(401)
    }
}

/// firelens 35.
/// Checklist: firelens 35
#[tokio::test]
async fn zone_and_id_are_appended_by_default_and_asked_for_with_one_token() {
    let fake = Fake::start(with_tokens).await;
    let maker = filter(&fake, &[]);
    for _ in 0..2 {
        let record = Stand::new(&*maker)
            .send_ready(r#"{"log":"x","az":1}"#)
            .await;
        let expected = r#"{"log":"x","az":1,"az":"us-west-2c","ec2_instance_id":"i-0c86"}"#;
        assert_eq!(record, expected);
    }
    assert_eq!(
        fake.asked(),
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/placement/availability-zone",
            "GET /latest/meta-data/instance-id"
        ]
    );
}

#[tokio::test]
async fn everything_that_can_be_asked_for_comes_in_the_order_of_the_reference() {
    let fake = Fake::start(with_tokens).await;
    let all = [
        ("hostname", "on"),
        ("account_id", "on"),
        ("ami_id", "on"),
        ("vpc_id", "on"),
        ("private_ip", "on"),
        ("ec2_instance_type", "on"),
        ("tags_enabled", "on"),
        ("enable_entity", "on"),
    ];
    let expected = concat!(
        r#"{"log":"x","az":"us-west-2c","ec2_instance_id":"i-0c86","ec2_instance_type":"t3.micro","#,
        r#""private_ip":"10.0.0.7","vpc_id":"vpc-1","ami_id":"ami-2","account_id":"123","hostname":"ip-10-0-0-7","#,
        r#""Name":"web","team/a b":"blue","cost":"9","#,
        r#""aws_entity_ec2_instance_id":"i-0c86","aws_entity_account_id":"123"}"#
    );
    assert_eq!(filtered(&fake, &all).await, expected);
}

#[tokio::test]
async fn tags_can_be_chosen_and_left_out_but_not_both() {
    let fake = Fake::start(with_tokens).await;
    let base = [
        ("az", "off"),
        ("ec2_instance_id", "off"),
        ("tags_enabled", "on"),
    ];
    for (choice, expected) in [
        (("tags_include", "cost,none"), r#"{"log":"x","cost":"9"}"#),
        (
            ("tags_exclude", "cost"),
            r#"{"log":"x","Name":"web","team/a b":"blue"}"#,
        ),
    ] {
        let properties = [&base[..], &[choice]].concat();
        assert_eq!(filtered(&fake, &properties).await, expected);
    }
    let both = [("tags_include", "a"), ("tags_exclude", "b")];
    let (_, problems) = super::super::stand::built(build, &both);
    assert!(
        problems.concat().contains("cannot stand together"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn where_no_token_is_given_it_is_asked_without_one() {
    let version_1 = |head: &str| {
        if head.starts_with("PUT") {
            status(403)
        } else {
            instance(path(head))
        }
    };
    let fake = Fake::start(version_1).await;
    let expected = r#"{"log":"x","az":"us-west-2c","ec2_instance_id":"i-0c86"}"#;
    assert_eq!(filtered(&fake, &[]).await, expected);
    assert_eq!(fake.asked().len(), 3);
    assert_eq!(filtered(&fake, &[("imds_version", "v1")]).await, expected);
    let puts = fake
        .asked()
        .iter()
        .filter(|line| line.starts_with("PUT"))
        .count();
    assert_eq!((fake.asked().len(), puts), (5, 1));
}

#[tokio::test]
async fn a_token_that_has_died_is_renewed_at_once() {
    let tokens = std::sync::atomic::AtomicU64::new(0);
    let fake = Fake::start(move |head: &str| {
        use std::sync::atomic::Ordering::Relaxed;
        if head.starts_with("PUT") {
            return ok(&format!("T{}", tokens.fetch_add(1, Relaxed)));
        }
        let is_alive = head.contains(&format!("token: T{}\r\n", 1)) || path(head).ends_with("zone");
        if is_alive {
            instance(path(head))
        } else {
            status(401)
        }
    })
    .await;
    let expected = r#"{"log":"x","az":"us-west-2c","ec2_instance_id":"i-0c86"}"#;
    assert_eq!(filtered(&fake, &[]).await, expected);
}

/// Checklist: firelens 35
#[tokio::test]
async fn what_is_not_to_be_had_is_left_out_and_events_pass() {
    let wait = ("metadata_wait", "1");
    let without_id = |head: &str| match path(head) {
        "meta-data/instance-id" => status(500),
        _ => with_tokens(head),
    };
    let fake = Fake::start(without_id).await;
    assert_eq!(
        filtered(&fake, &[wait]).await,
        r#"{"log":"x","az":"us-west-2c"}"#
    );
    for reply in [
        || status(503),
        || Reply::Silence,
        || Reply::Raw(vec![b'x'; 100]),
        || Reply::Status(200, "x".repeat(1 << 20)),
    ] {
        let fake = Fake::start(move |_: &str| reply()).await;
        assert_eq!(filtered(&fake, &[wait]).await, r#"{"log":"x"}"#);
        assert!(!fake.asked().is_empty());
    }
}

#[tokio::test]
async fn a_mac_that_is_none_leads_to_no_other_path() {
    let fake = Fake::start(|head: &str| match path(head) {
        "meta-data/mac" => ok("../../../latest/user-data"),
        _ => with_tokens(head),
    })
    .await;
    let properties = [("vpc_id", "on"), ("metadata_wait", "0")];
    filtered(&fake, &properties).await;
    let maker = filter(&fake, &[("vpc_id", "on"), ("metadata_wait", "1")]);
    let record = Stand::new(&*maker).send_ready("{}").await;
    assert_eq!(record, r#"{"az":"us-west-2c","ec2_instance_id":"i-0c86"}"#);
    assert!(fake.asked().iter().all(|line| !line.contains("user-data")));
}

#[tokio::test]
async fn wrong_settings_are_refused() {
    for (property, words) in [
        (("imds_version", "v3"), "is not known"),
        (("metadata_wait", "1h"), "is too long"),
        (("az", "perhaps"), "neither on nor off"),
    ] {
        let (_, problems) = super::super::stand::built(build, &[property]);
        assert!(problems.concat().contains(words), "{problems:?}");
    }
}

#[tokio::test]
async fn events_that_nobody_waited_with_are_held_until_the_answer_and_keep_their_order() {
    let fake = Fake::start(with_tokens).await;
    let maker = filter(&fake, &[]);
    let mut stand = Stand::new(&*maker);
    assert_eq!(stand.send(r#"{"log":"1"}"#), [""; 0]);
    assert_eq!(stand.send(r#"{"log":"2"}"#), [""; 0]);
    assert!(stand.operator.held() > 0 && stand.operator.due().is_some());
    assert_eq!(stand.release(false), [""; 0]);
    stand.operator.ready(&Block::default()).unwrap().await;
    let decorated =
        |log: &str| format!(r#"{{"log":"{log}","az":"us-west-2c","ec2_instance_id":"i-0c86"}}"#);
    let expected = [
        format!("next 1700000000.500000000 {}", decorated("1")),
        format!("next 1700000000.500000000 {}", decorated("2")),
        decorated("3"),
    ];
    assert_eq!(stand.send(r#"{"log":"3"}"#), expected);
    assert_eq!((stand.operator.held(), stand.operator.due()), (0, None));
}

#[tokio::test]
async fn events_that_are_held_go_bare_at_the_end() {
    let fake = Fake::start(|_: &str| Reply::Silence).await;
    let maker = filter(&fake, &[]);
    let mut stand = Stand::new(&*maker);
    assert_eq!(stand.send(r#"{"log":"1"}"#), [""; 0]);
    let expected = [r#"next 1700000000.500000000 {"log":"1"}"#];
    assert_eq!(stand.release(true), expected);
    assert_eq!(stand.operator.held(), 0);
}
