use super::super::fake::{Fake, Reply, ok, status};
use super::super::stand::{Stand, built, built_in};
use super::*;
use crate::config::Variables;
use crate::parser::Parsers;

const ID: &str = "a9699830393812aabbccddeeff00112233445566778899aabbccddeeff001122";

/// The agent of an instance that runs one task.
fn agent(head: &str) -> Reply {
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path == "/v1/metadata" {
        return ok(
            r#"{"Cluster":"prod","ContainerInstanceArn":"arn:aws:ecs:r:1:container-instance/prod/ci1","Version":"v1.30"}"#,
        );
    }
    match path.strip_prefix("/v1/tasks?dockerid=") {
        Some(id) if ID.starts_with(id) => ok(&format!(
            r#"{{"Arn":"arn:aws:ecs:r:1:task/prod/t1","Family":"web","Version":"7","Containers":[{{"DockerId":"other","DockerName":"o","Name":"o"}},{{"DockerId":"{ID}","DockerName":"ecs-web-7-app","Name":"app"}}]}}"#
        )),
        Some(_) => status(404),
        None => status(500),
    }
}

/// The endpoint of a task with a container.
fn own_task(head: &str) -> Reply {
    if head.starts_with("GET /v4/x/task ") {
        ok(
            r#"{"Cluster":"arn:aws:ecs:r:1:cluster/own","TaskARN":"arn:aws:ecs:r:1:task/own/t9","Family":"fargate","Revision":"3","Containers":[{"DockerId":"cd189a933e5849daa93386466019ab50-2495160603","DockerName":"web","Name":"web"}]}"#,
        )
    } else {
        status(404)
    }
}

/// All variables in one text, and the cluster alone.
const ADD: [(&str, &str); 2] = [
    ("add", "c $ClusterName"),
    (
        "add",
        "all $ContainerInstanceArn,$ContainerInstanceID,$ECSAgentVersion,$ContainerID,$DockerContainerName,$ECSContainerName,$TaskARN,$TaskID,$TaskDefinitionFamily,$TaskDefinitionVersion",
    ),
];

fn of_agent(fake: &Fake, more: &[(&str, &str)]) -> Box<dyn MakeOperator> {
    let (host, port) = (
        fake.address.ip().to_string(),
        fake.address.port().to_string(),
    );
    let properties = [("ecs_meta_host", &*host), ("ecs_meta_port", &port)];
    made(&Variables::default(), &[&properties, more].concat())
}

fn of_task(fake: &Fake, more: &[(&str, &str)]) -> Box<dyn MakeOperator> {
    let url = format!("http://{}/v4/x", fake.address);
    let variables = Variables::from_pairs([("ECS_CONTAINER_METADATA_URI_V4", &url)]);
    made(&variables, more)
}

fn made(variables: &Variables, properties: &[(&str, &str)]) -> Box<dyn MakeOperator> {
    let (maker, problems) = built_in(variables, &Parsers::default(), build, properties);
    assert_eq!(problems, [""; 0]);
    tokio::spawn(maker.task().unwrap());
    maker
}

async fn filtered(maker: &dyn MakeOperator, tag: &str) -> String {
    Stand::of_tag(maker, tag).send_ready(r#"{"log":"x"}"#).await
}

#[tokio::test]
async fn the_agent_knows_the_container_whose_id_stands_in_the_tag() {
    let fake = Fake::start(agent).await;
    let prefix = ("ecs_tag_prefix", "ecs.");
    let maker = of_agent(&fake, &[&ADD[..], &[prefix]].concat());
    let expected = format!(
        r#"{{"log":"x","c":"prod","all":"arn:aws:ecs:r:1:container-instance/prod/ci1,ci1,v1.30,{ID},ecs-web-7-app,app,arn:aws:ecs:r:1:task/prod/t1,t1,web,7"}}"#
    );
    for _ in 0..2 {
        assert_eq!(filtered(&*maker, "ecs.a96998303938.log").await, expected);
    }
    let mut asked = fake.asked();
    asked.sort();
    assert_eq!(
        asked,
        ["GET /v1/metadata", "GET /v1/tasks?dockerid=a96998303938"]
    );
}

#[tokio::test]
async fn without_the_container_the_cluster_counts_and_its_variables_are_empty() {
    let fake = Fake::start(agent).await;
    let maker = of_agent(&fake, &ADD);
    let expected = r#"{"log":"x","c":"prod","all":"arn:aws:ecs:r:1:container-instance/prod/ci1,ci1,v1.30,,,,,,,"}"#;
    for tag in ["short", "ffffffffffff", "a9 6998303938.x"] {
        assert_eq!(filtered(&*maker, tag).await, expected, "{tag}");
    }
    let lookups = |fake: &Fake| {
        let asked = fake.asked();
        asked
            .iter()
            .filter(|line| line.contains("dockerid"))
            .count()
    };
    // As often as agent_endpoint_retries says, and only where the tag has an id.
    assert_eq!(lookups(&fake), 2);
    filtered(&*maker, "ffffffffffff").await;
    assert_eq!(lookups(&fake), 2);
    let only = of_agent(
        &fake,
        &[&ADD[..], &[("cluster_metadata_only", "on")]].concat(),
    );
    assert_eq!(filtered(&*only, ID).await, expected);
    assert_eq!(lookups(&fake), 2);
}

#[tokio::test]
async fn without_the_cluster_events_stay_as_they_are() {
    for reply in [
        || status(500),
        || ok(""),
        || ok("[]"),
        || ok(r#"{"Cluster":""}"#),
        || ok(r#"{"Cluster":5}"#),
        || ok(&"[".repeat(100_000)),
        || Reply::Status(200, "x".repeat(2 << 20)),
        || Reply::Raw(b"\0\0".to_vec()),
        || Reply::Silence,
    ] {
        let fake = Fake::start(move |_: &str| reply()).await;
        let maker = of_agent(&fake, &[&ADD[..], &[("metadata_wait", "1")]].concat());
        assert_eq!(filtered(&*maker, ID).await, r#"{"log":"x"}"#);
        assert!(!fake.asked().is_empty());
    }
}

#[tokio::test]
async fn on_fargate_the_task_knows_its_containers_by_id_and_by_the_tag_of_firelens() {
    let fake = Fake::start(own_task).await;
    // No agent listens at its port here; one that did would have to know a cluster.
    let maker = of_task(
        &fake,
        &[
            ("add", "c $ClusterName"),
            (
                "add",
                "t $ECSContainerName,$TaskID,$TaskDefinitionFamily,$TaskDefinitionVersion",
            ),
        ],
    );
    let known = r#"{"log":"x","c":"own","t":"web,t9,fargate,3"}"#;
    assert_eq!(filtered(&*maker, "cd189a933e58").await, known);
    assert_eq!(filtered(&*maker, "web-firelens-t9").await, known);
    let unknown = r#"{"log":"x","c":"own","t":",,,"}"#;
    for tag in ["web-firelens-t8", "db-firelens-t9", "ffffffffffff"] {
        assert_eq!(filtered(&*maker, tag).await, unknown, "{tag}");
    }
}

#[test]
fn a_template_has_to_be_one() {
    for (property, words) in [
        (
            ("add", "n $ECSContainerName-$TaskID"),
            "a key ends at a dot",
        ),
        (("add", "n"), "needs a word"),
        (("ecs_meta_host", "a b"), "is no host"),
        (("ecs_meta_port", "x"), "is no port"),
    ] {
        let (_, problems) = built(build, &[property]);
        assert!(problems.concat().contains(words), "{problems:?}");
    }
    let (_, problems) = built(build, &[]);
    assert!(
        problems.concat().contains("changes nothing"),
        "{problems:?}"
    );
}
