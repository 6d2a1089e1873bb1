use std::process::{Command, Output};

use super::support::{Frame, Router, ack};

fn health(pid: u32) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["--health", &pid.to_string()]).env_clear();
    command.output().unwrap()
}

#[test]
fn a_router_that_runs_answers_with_its_counters() {
    let router = Router::new().forward(&[]).file("all.txt", &[]).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("one").log("two").chunk("c"));
    client.read(ack("c").len());
    let output = health(router.process.pid());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let counter = "sluice_input_records_total{name=\"forward.0\"} 2\n";
    assert!(text.contains(counter), "{text}");
}

#[test]
fn no_router_no_health() {
    let output = health(std::process::id());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("does not answer"), "{text}");
}

#[test]
fn a_router_that_is_stuck_is_not_healthy() {
    let router = Router::new().forward(&[]).file("all.txt", &[]).start();
    router.process.freeze();
    let output = health(router.process.pid());
    router.process.thaw();
    assert_eq!(output.status.code(), Some(1));
    assert!(health(router.process.pid()).status.success());
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let router = Router::new().forward(&[]).file("all.txt", &[]).start();
    let mut client = router.connect();
    let open = std::fs::read_dir(format!("/proc/{}/fd", router.process.pid()));
    let few = Some(open.unwrap().count() as u64);
    let limit = router.process.limit_descriptors(few);
    let waiting = router.connect();
    router.process.says("cannot accept connections");
    let waiting_too = router.connect();
    assert_eq!(health(router.process.pid()).stdout, b"");

    router.process.limit_descriptors(limit);
    drop((waiting, waiting_too));
    assert!(health(router.process.pid()).status.success());
    client.send(&Frame::new("app").log("still here").chunk("c"));
    assert_eq!(client.read(ack("c").len()), ack("c"));
    let said = router.process.text();
    assert_eq!(said.matches("cannot accept").count(), 1, "{said}");
}
