use rustix::process::Signal;

use super::support::{Bucket, Frame, Router, Running, ack};

/// A router with an output to a bucket, the texts alone.
fn router(bucket: &Bucket, store: &std::path::Path, settings: &[(&str, &str)]) -> Running {
    let endpoint = format!("http://{}", bucket.address);
    let common = [
        ("Match", "*"),
        ("bucket", "b"),
        ("endpoint", &*endpoint),
        ("store_dir", store.to_str().unwrap()),
        ("log_key", "log"),
    ];
    Router::new()
        .service("Grace", "20")
        .forward(&[])
        .section("OUTPUT", "s3", &[&common, settings].concat())
        .start()
}

/// Sends a frame and waits until it is in its file.
fn store_frame(router: &Running, frame: Frame) {
    let mut client = router.connect();
    client.send(&frame.chunk("c"));
    client.read(ack("c").len());
    router.settles();
}

/// The lines of all objects.
fn lines(objects: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
    let texts = objects
        .into_iter()
        .map(|object| String::from_utf8(object).unwrap());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Checklist: outputs 42
#[test]
fn what_a_killed_router_leaves_is_uploaded_by_the_next() {
    let (bucket, store) = (Bucket::start(), tempfile::tempdir().unwrap());
    let settings = [("s3_key_format", "/$TAG/$INDEX")];
    for round in ["first", "second"] {
        let mut router = router(&bucket, store.path(), &settings);
        store_frame(&router, Frame::new("t").log(round).log("line"));
        router.process.signal(Signal::KILL);
        router.process.end();
    }
    let mut last = router(&bucket, store.path(), &settings);
    bucket.has(2);
    last.terminate();
    assert!(last.end().0.success());
    let objects = bucket.has(2);
    let keys: Vec<_> = objects.keys().collect();
    assert_eq!(keys, ["/b/t/0", "/b/t/1"]);
    assert_eq!(
        lines(objects.into_values()),
        ["first", "line", "second", "line"]
    );
    assert_eq!(bucket.violations(), [""; 0]);
    let left = std::fs::read_dir(store.path().join("b")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
    let files = std::fs::read_dir(&left[0]).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        (left.len(), names),
        (1, vec!["index".into(), "lock".into(), "quarantine".into()])
    );
}

#[test]
fn a_bucket_that_fails_gets_everything_in_the_end_and_once() {
    let (bucket, store) = (Bucket::failing(2), tempfile::tempdir().unwrap());
    let mut router = router(&bucket, store.path(), &[("compression", "gzip")]);
    router
        .connect()
        .send(&Frame::new("a").log("one").log("two"));
    router.settles();
    router.terminate();
    let (status, closing) = router.end();
    assert!(
        status.success() && closing.contains("s3.0: delivered 2, left behind 0"),
        "{closing}"
    );
    let objects = bucket.has(1);
    assert_eq!((objects.len(), bucket.calls().len()), (1, 1));
    let packed = objects.into_values().next().unwrap();
    let mut text = String::new();
    let mut gzip = flate2::read::GzDecoder::new(&packed[..]);
    std::io::Read::read_to_string(&mut gzip, &mut text).unwrap();
    assert_eq!(text, "one\ntwo\n");
}

/// Checklist: outputs 44
#[test]
fn what_is_given_up_is_kept_aside_or_deleted_as_set() {
    for (action, kept) in [("quarantine", "line\n"), ("delete", "")] {
        let (bucket, store) = (Bucket::failing(usize::MAX), tempfile::tempdir().unwrap());
        let settings = [
            ("upload_timeout", "1s"),
            ("retry_limit", "no_retries"),
            ("retry_exhausted_action", action),
        ];
        let router = router(&bucket, store.path(), &settings);
        store_frame(&router, Frame::new("t").log("line"));
        router.process.says("retry_limit is used up");
        let mut texts = String::new();
        let mut folders = vec![store.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "data") {
                    texts += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        assert_eq!(texts, kept, "{action}");
    }
}

/// Checklist: outputs 43
#[test]
fn an_upload_in_parts_goes_on_after_a_kill_and_holds_everything_in_order() {
    let (bucket, store) = (Bucket::start(), tempfile::tempdir().unwrap());
    let settings = [("s3_key_format", "/parts"), ("total_file_size", "30M")];
    let line = |number: usize| format!("{number:06}{}", "x".repeat(60_000));
    let mut first = router(&bucket, store.path(), &settings);
    for number in (0..150).step_by(10) {
        let numbers = number..number + 10;
        let frame = numbers.fold(Frame::new("t"), |frame, number| frame.log(&line(number)));
        store_frame(&first, frame);
    }
    bucket.calls_for("part 1");
    first.process.signal(Signal::KILL);
    first.process.end();
    let mut second = router(&bucket, store.path(), &settings);
    bucket.has(1);
    second.terminate();
    assert!(second.end().0.success());
    let objects = bucket.has(1);
    assert_eq!(objects.keys().collect::<Vec<_>>(), ["/b/parts"]);
    let expected: Vec<_> = (0..150).map(line).collect();
    assert!(lines(objects.into_values()) == expected);
    assert_eq!(bucket.violations(), [""; 0]);
}

/// Checklist: outputs 43
#[test]
fn what_gathers_in_an_outage_becomes_objects_of_the_usual_size() {
    let (bucket, store) = (Bucket::failing(2), tempfile::tempdir().unwrap());
    let settings = [("s3_key_format", "/$INDEX"), ("total_file_size", "11M")];
    let mut router = router(&bucket, store.path(), &settings);
    let line = |number: usize| format!("{number:06}{}", "x".repeat(60_000));
    for number in (0..700).step_by(10) {
        let numbers = number..number + 10;
        let frame = numbers.fold(Frame::new("t"), |frame, number| frame.log(&line(number)));
        store_frame(&router, frame);
    }
    router.terminate();
    assert!(router.end().0.success());
    let objects = bucket.has(3);
    let largest = objects.values().map(Vec::len).max();
    assert!(largest < Some(17 << 20), "{largest:?}");
    let expected: Vec<_> = (0..700).map(line).collect();
    assert!(lines(objects.into_values()) == expected);
    assert_eq!(bucket.violations(), [""; 0]);
}

/// Checklist: outputs 43
#[test]
fn an_upload_whose_end_fails_although_the_status_is_200_is_ended_again() {
    let (bucket, store) = (Bucket::start(), tempfile::tempdir().unwrap());
    bucket.fail_completion();
    let settings = [("s3_key_format", "/parts"), ("total_file_size", "11M")];
    let mut router = router(&bucket, store.path(), &settings);
    let line = "x".repeat(60_000);
    for _ in 0..30 {
        let frame = (0..10).fold(Frame::new("t"), |frame, _| frame.log(&line));
        store_frame(&router, frame);
    }
    bucket.calls_for("false completion");
    bucket.calls_for("complete /b/parts");
    router.terminate();
    assert!(router.end().0.success());
    assert_eq!(bucket.violations(), [""; 0]);
}
