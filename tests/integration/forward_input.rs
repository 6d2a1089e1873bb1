//! What the forward input does with its settings, its socket files, and very many peers.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;

use super::support::{Client, Frame, Router, Running, ack};

/// The tags that came out, in their order.
fn tags(router: &Running) -> Vec<String> {
    router.settles();
    let text = std::fs::read_to_string(router.path("all.txt")).unwrap_or_default();
    let tag = |line: &str| line.split_once(": [").unwrap().0.to_owned();
    text.lines().map(tag).collect()
}

fn exchange(client: &mut Client, tag: &str) {
    client.send(&Frame::new(tag).log("text").chunk(tag));
    assert_eq!(client.read(ack(tag).len()), ack(tag));
}

/// Checklist: forward 34.
#[test]
fn a_prefix_stands_before_every_tag_without_a_dot_and_a_tag_replaces_it() {
    let all = [("Match", "*"), ("Format", "out_file")];
    for (settings, expected) in [
        (&[][..], "in.tag"),
        (&[("Tag_Prefix", "pre")], "prein.tag"),
        (&[("Tag", "fixed")], "fixed"),
        (&[("Tag", "fixed"), ("Tag_Prefix", "pre")], "prein.tag"),
    ] {
        let router = Router::new()
            .forward(settings)
            .file("all.txt", &all)
            .start();
        exchange(&mut router.connect(), "in.tag");
        assert_eq!(tags(&router), [expected], "{settings:?}");
    }
}

/// As `docs/configuration.md` says: stored for nobody, so there is nothing to wait for.
///
/// Checklist: forward 40.
#[test]
fn what_no_output_wants_is_acknowledged_and_counted() {
    let router = Router::new()
        .forward(&[])
        .file("all.txt", &[("Match", "wanted"), ("Format", "out_file")])
        .start();
    let mut client = router.connect();
    exchange(&mut client, "unwanted");
    exchange(&mut client, "wanted");
    assert_eq!(tags(&router), ["wanted"]);
    let dropped = "name=\"forward.0\",reason=\"unrouted\"";
    assert_eq!(router.counter("sluice_dropped_records_total", dropped), 1);
    let taken = router.counter("sluice_input_records_total", "name=\"forward.0\"");
    assert_eq!(taken, 2);
    router
        .process
        .says("no output's Match accepts the tag unwanted");
}

/// Checklist: forward 1, 2, 3.
#[test]
fn ports_and_socket_files_are_served_side_by_side_and_the_files_go_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (first, second) = (path("first"), path("second"));
    // Left behind by a router that is gone.
    drop(std::os::unix::net::UnixListener::bind(&first).unwrap());
    let mut router = Router::new()
        .forward(&[])
        .section(
            "INPUT",
            "forward",
            &[("Unix_Path", &first), ("Unix_Perm", "0606")],
        )
        .section("INPUT", "forward", &[("Unix_Path", &second)])
        .forward(&[])
        .file("all.txt", &[("Match", "*"), ("Format", "out_file")])
        .start();
    router.process.says(&format!("listening on unix:{second}"));
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&first), 0o606);
    let made = std::fs::File::create(path("usual")).unwrap();
    // What the mask leaves, of all rights and not only of those of a plain file.
    let usual = made.metadata().unwrap().permissions().mode() & 0o666;
    assert_eq!(mode(&second) & 0o666, usual);
    for (address, tag) in [("forward.0", "one"), ("forward.3", "four")] {
        exchange(&mut Client::connect(router.address(address)), tag);
    }
    for (path, tag) in [(&first, "two"), (&second, "three")] {
        let mut stream = UnixStream::connect(path).unwrap();
        let frame = Frame::new(tag).log("text").chunk(tag);
        stream.write_all(&frame.bytes()).unwrap();
        let mut answer = vec![0; ack(tag).len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ack(tag));
    }
    let mut found = tags(&router);
    found.sort();
    assert_eq!(found, ["four", "one", "three", "two"]);
    router.terminate();
    assert!(router.end().0.success());
    for path in [&first, &second] {
        assert!(!std::path::Path::new(path).exists(), "{path}");
    }
}

/// Checklist: forward 3.
#[test]
fn a_file_in_place_of_the_socket_stops_the_start_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious").display().to_string();
    std::fs::write(&path, "text").unwrap();
    let mut router = Router::new()
        .section("INPUT", "forward", &[("Unix_Path", &path)])
        .file("all.txt", &[])
        .launch();
    assert_eq!(router.process.end().code(), Some(255));
    let text = router.process.text();
    assert!(
        text.contains("something that is no socket is there"),
        "{text}"
    );
    assert!(!std::fs::metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(std::fs::read(&path).unwrap(), b"text");
}

/// What a thousand connections and their tasks take, and what the allocator keeps, beside what they sent.
const BESIDE: u64 = 12 << 20;

/// Checklist: forward 55.
#[test]
fn the_halves_of_a_thousand_messages_stay_within_the_budget() {
    const BUDGET: u64 = 16 << 20;
    let router = Router::new()
        .forward(&[("Mem_Buf_Limit", "16M")])
        .file("all.txt", &[("Match", "*"), ("Format", "out_file")])
        .start();
    exchange(&mut router.connect(), "before");
    let before = router.process.peak_memory();
    let bytes = Frame::new("half").log(&"x".repeat(200_000)).bytes();
    let half = &bytes[..bytes.len() / 2];
    let mut peers: Vec<_> = (0..1000).map(|_| router.connect()).collect();
    for peer in &mut peers {
        // What the router does not read waits in the socket; what has no room there either is not written.
        peer.write_within(half, std::time::Duration::from_millis(1));
    }
    router.process.says("paused (mem buf overlimit)");
    let growth = router.process.peak_memory() - before;
    assert!(growth < BUDGET + BESIDE, "grew by {growth} bytes");
    drop(peers);
    exchange(&mut router.connect(), "after");
    let growth = router.process.peak_memory() - before;
    assert!(growth < BUDGET + BESIDE, "grew by {growth} bytes");
}
