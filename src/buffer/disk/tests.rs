use std::path::Path;
use std::time::Duration;

use super::*;
use crate::buffer::{BATCH_MAX, Batch, Message, Pool, Stream};
use crate::event::{Block, DropReason, Event, EventTime};

/// What has not happened by then does not happen.
const PATIENCE: Duration = Duration::from_secs(40);

/// A log with one input, and routes that want every tag.
struct Bench {
    disk: Arc<Disk>,
    routes: Vec<(Arc<Inbox>, Arc<RouteLedger>)>,
    source: Arc<Source>,
    budget: Arc<Budget>,
    taken: Vec<Message>,
}

fn options(path: &Path) -> Options {
    Options {
        path: path.to_owned(),
        full_sync: false,
        keep_damaged: true,
        backlog_max: 1 << 20,
        direct_max: 1 << 30,
        segment_max: 16 << 20,
    }
}

impl Bench {
    fn open(options: Options, names: &[&str], limit: Option<u64>) -> Self {
        let budget = Budget::new(1 << 30);
        let disk = Arc::new(Disk::open(options, &budget).unwrap());
        let routes = names.iter().map(|name| {
            let inbox = Arc::new(Inbox::default());
            let ledger = Arc::new(RouteLedger::new(name));
            disk.register(Registration {
                name: (*name).into(),
                inbox: Arc::clone(&inbox),
                ledger: Arc::clone(&ledger),
                limit,
                wants: Arc::new(|tag| tag != b"nobody"),
            });
            (inbox, ledger)
        });
        let routes = routes.collect();
        let source = Source::new("in.0".into());
        disk.know(&source);
        disk.begin();
        Self {
            disk,
            routes,
            source,
            budget,
            taken: Vec::new(),
        }
    }

    fn stream(&self, tag: &str) -> Arc<Stream> {
        let routes: Vec<_> = self.routes.iter().map(|it| Arc::clone(&it.0)).collect();
        let tag = Tag::new(tag.as_bytes());
        let kept = Kept::new(&self.disk, &self.source, &tag, &routes, true);
        Stream::new(
            tag,
            Arc::clone(&self.source),
            routes,
            Arc::clone(&self.budget),
            Arc::new(Pool::new(BATCH_MAX)),
            Duration::ZERO,
            Some(kept),
        )
    }

    /// Waits until the route has been given `count` events, whose batches it holds from then on; their times.
    async fn take(&mut self, route: usize, count: usize) -> Vec<u64> {
        let mut times = Vec::new();
        self.take_into(route, count, &mut times, true).await;
        times
    }

    async fn take_into(&mut self, route: usize, count: usize, times: &mut Vec<u64>, keep: bool) {
        let inbox = Arc::clone(&self.routes[route].0);
        let mut messages = Vec::new();
        while times.len() < count {
            inbox.take(&mut messages);
            if messages.is_empty() {
                let arrived = tokio::time::timeout(PATIENCE, inbox.arrived()).await;
                assert!(arrived.is_ok(), "only {} of {count} came", times.len());
            }
            for message in messages.drain(..) {
                match &message {
                    Message::Opened(stream, _) => stream.seal(),
                    Message::Sealed(batch, _) => times.extend(seconds(batch)),
                    Message::Hurry => {}
                }
                if keep {
                    self.taken.push(message);
                }
            }
        }
    }

    /// Ends as a process does that is killed: nothing that is let go of from now on counts.
    fn crash(self) {
        self.disk.freeze();
        for (inbox, _) in &self.routes {
            // Streams and inboxes hold each other by what nobody takes.
            inbox.take(&mut Vec::new());
        }
    }

    fn is_silent(&self, route: usize) -> bool {
        !self.routes[route].0.has_messages()
    }
}

fn seconds(batch: &Batch) -> Vec<u64> {
    let events = batch.block.events_from(0);
    events.map(|event| event.time.seconds).collect()
}

fn block(seconds: std::ops::Range<u64>, size: usize) -> Block {
    let mut block = Block::default();
    // A msgpack string, so that it is a value.
    let mut record = vec![0xc6];
    record.extend_from_slice(&(size as u32).to_be_bytes());
    record.resize(5 + size, b'x');
    for seconds in seconds {
        block.push(Event {
            time: EventTime { seconds, nanos: 0 },
            metadata: &[],
            record: &record,
        });
    }
    block
}

async fn safe(disk: &Disk) {
    tokio::time::timeout(PATIENCE, disk.safe()).await.unwrap();
}

fn files(path: &Path) -> Vec<String> {
    let found = fs::read_dir(path.join(FOLDER)).unwrap();
    let mut names: Vec<_> = found
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn segment(path: &Path) -> PathBuf {
    let name = files(path)
        .into_iter()
        .find(|name| Path::new(name).extension().is_some_and(|it| it == "log"));
    path.join(FOLDER).join(name.unwrap())
}

#[tokio::test]
async fn what_is_safe_is_there_after_a_crash_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(options(folder.path()), &["crash"], None);
    let (one, other) = (bench.stream("one"), bench.stream("other"));
    for second in 0..50 {
        one.append(&block(second * 2..second * 2 + 1, 10), &[]);
        other.append(&block(second * 2 + 1..second * 2 + 2, 10), &[]);
    }
    safe(&bench.disk).await;
    drop((one, other));
    bench.crash();
    let mut bench = Bench::open(options(folder.path()), &["crash"], None);
    let times = bench.take(0, 100).await;
    let (even, odd): (Vec<u64>, Vec<u64>) = times.iter().partition(|second| **second % 2 == 0);
    assert!(even.is_sorted() && odd.is_sorted(), "{times:?}");
    assert_eq!((even.len(), odd.len()), (50, 50));
    assert_eq!(bench.routes[0].1.routed(), 100);
    let tags = bench.taken.iter().filter_map(|message| match message {
        Message::Sealed(batch, _) => Some(batch.tag.to_string()),
        _ => None,
    });
    assert!(tags.into_iter().all(|tag| tag == "one" || tag == "other"));
}

#[tokio::test]
async fn what_a_route_has_let_go_of_is_not_delivered_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(options(folder.path()), &["settled.a", "settled.b"], None);
    let stream = bench.stream("t");
    stream.append(&block(0..3, 10), &[]);
    bench.take(0, 3).await;
    let (mut held, mut b) = (Vec::new(), Vec::new());
    bench.routes[1].0.take(&mut b);
    held.append(&mut b);
    // Route a lets go of everything, route b of nothing.
    bench.taken.clear();
    stream.append(&block(3..4, 10), &[]);
    safe(&bench.disk).await;
    drop(stream);
    bench.crash();
    drop(held);
    let mut bench = Bench::open(options(folder.path()), &["settled.a", "settled.b"], None);
    assert_eq!(bench.take(0, 1).await, [3]);
    assert_eq!(bench.take(1, 4).await, [0, 1, 2, 3]);
    bench.taken.clear();
    bench.disk.close();
    assert!(bench.is_silent(0) && bench.is_silent(1));
    assert_eq!(files(folder.path()), ["lock"]);
}

#[tokio::test]
async fn an_output_that_comes_later_is_owed_what_no_other_has_taken() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(options(folder.path()), &["before"], None);
    bench.stream("t").append(&block(0..2, 10), &[]);
    bench.stream("nobody").append(&block(2..3, 10), &[]);
    safe(&bench.disk).await;
    bench.crash();
    let mut bench = Bench::open(options(folder.path()), &["after"], None);
    assert_eq!(bench.take(0, 2).await, [0, 1]);
    bench.taken.clear();
    bench.disk.close();
    // The event that no output wants keeps its segment.
    assert_eq!(files(folder.path()).len(), 3, "{:?}", files(folder.path()));
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_read_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options {
        direct_max: 20_000,
        segment_max: 10_000,
        backlog_max: 5_000,
        ..options(folder.path())
    };
    let mut bench = Bench::open(small, &["slow"], None);
    let stream = bench.stream("t");
    let mut times = Vec::new();
    for round in 0..4 {
        for second in 0..100 {
            let second = round * 100 + second;
            stream.append(&block(second..second + 1, 1000), &[]);
        }
        safe(&bench.disk).await;
        assert!(bench.routes[0].0.expects_more());
        assert!(
            bench.budget.used() < 60_000,
            "{} bytes are held",
            bench.budget.used()
        );
        // In part, so that new events come while it is behind.
        let until = if round < 3 { times.len() + 50 } else { 400 };
        bench.take_into(0, until, &mut times, false).await;
    }
    assert_eq!(times, (0..400).collect::<Vec<_>>());
    // It has caught up, and what comes now does not wait for the disk.
    while bench.routes[0].0.expects_more() {
        bench.routes[0].0.arrived().await;
    }
    stream.append(&block(400..401, 1000), &[]);
    assert_eq!(bench.take(0, 1).await, [400]);
    assert_eq!(bench.disk.figures().behind_bytes, 0);
}

/// Checklist: engine 48
#[tokio::test]
async fn beyond_its_limit_an_output_loses_the_oldest_and_they_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options {
        direct_max: 20_000,
        segment_max: 10_000,
        ..options(folder.path())
    };
    let mut bench = Bench::open(small, &["limited"], Some(50_000));
    let stream = bench.stream("t");
    for second in 0..300 {
        stream.append(&block(second..second + 1, 1000), &[]);
        safe(&bench.disk).await;
    }
    let ledger = Arc::clone(&bench.routes[0].1);
    let mut times = Vec::new();
    let dropped = |ledger: &RouteLedger| -> u64 {
        let dropped = ledger.dropped();
        dropped
            .map(|(reason, count)| {
                assert_eq!(reason, DropReason::StorageLimit);
                count
            })
            .sum()
    };
    while times.last() != Some(&299) {
        let next = times.len() + 1;
        bench.take_into(0, next, &mut times, false).await;
    }
    assert!(times.is_sorted());
    assert_eq!(times.len() as u64 + dropped(&ledger), 300);
    assert!(dropped(&ledger) > 200, "{times:?}");
}

#[tokio::test]
async fn a_file_system_that_refuses_makes_senders_wait_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(options(folder.path()), &["refused"], None);
    let (there, away) = (folder.path().join(FOLDER), folder.path().join("away"));
    fs::rename(&there, &away).unwrap();
    let stream = bench.stream("t");
    let settled = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let receipt = Receipt::new({
        let settled = Arc::clone(&settled);
        move || settled.store(true, std::sync::atomic::Ordering::Release)
    });
    stream.append(&block(0..1, 10), &[receipt]);
    // Delivery does not wait.
    assert_eq!(bench.take(0, 1).await, [0]);
    let errors =
        crate::telemetry::registry::registry().count("sluice_storage_write_errors_total", &[]);
    while errors.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!settled.load(std::sync::atomic::Ordering::Acquire));
    fs::rename(&away, &there).unwrap();
    safe(&bench.disk).await;
    drop(stream);
    bench.crash();
    let mut bench = Bench::open(options(folder.path()), &["refused"], None);
    assert_eq!(bench.take(0, 1).await, [0]);
}

#[tokio::test]
async fn receipts_come_back_when_the_events_are_safe() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(options(folder.path()), &["receipts"], None);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let receipt = Receipt::new(move || {
        sender.lock().unwrap().take().unwrap().send(()).unwrap();
    });
    bench.stream("t").append(&block(0..1, 10), &[receipt]);
    tokio::time::timeout(PATIENCE, receiver)
        .await
        .unwrap()
        .unwrap();
    assert!(bench.disk.figures().bytes > 8);
}

#[tokio::test]
async fn damage_costs_the_entry_it_is_in_and_a_copy_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(options(folder.path()), &["damaged"], None);
    let stream = bench.stream("t");
    for second in 0..10 {
        stream.append(&block(second..second + 1, 100), &[]);
    }
    safe(&bench.disk).await;
    drop(stream);
    bench.crash();
    let path = segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let entry = (bytes.len() - 8) / 10;
    bytes[8 + entry * 4 + entry / 2] ^= 1;
    // And an end that was never finished.
    bytes.truncate(bytes.len() - 5);
    fs::write(&path, &bytes).unwrap();
    let mut bench = Bench::open(options(folder.path()), &["damaged"], None);
    assert_eq!(bench.take(0, 8).await, [0, 1, 2, 3, 5, 6, 7, 8]);
    let damaged = folder.path().join(FOLDER).join("damaged");
    let copies: Vec<_> = fs::read_dir(damaged).unwrap().collect();
    assert_eq!(copies.len(), 1);
    let copy = fs::read(copies[0].as_ref().unwrap().path()).unwrap();
    assert_eq!(copy, bytes[8 + entry * 4..8 + entry * 5]);
    bench.taken.clear();
    bench.disk.close();
    assert_eq!(files(folder.path()), ["damaged", "lock"]);
}

#[tokio::test]
async fn a_file_of_another_form_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder
        .path()
        .join(FOLDER)
        .join("0000000000000005-00000001.log");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"SLUICE99 and what comes then").unwrap();
    let mut bench = Bench::open(options(folder.path()), &["other-form"], None);
    bench.stream("t").append(&block(0..1, 10), &[]);
    assert_eq!(bench.take(0, 1).await, [0]);
    bench.taken.clear();
    bench.disk.close();
    assert_eq!(fs::read(&path).unwrap(), b"SLUICE99 and what comes then");
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(options(folder.path()), &["lock"], None);
    let second = Disk::open(options(folder.path()), &bench.budget);
    assert!(matches!(second, Err(OpenError::InUse(_))));
    drop(bench);
    assert!(Disk::open(options(folder.path()), &Budget::new(1)).is_ok());
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(options(folder.path()), &["modes"], None);
    bench.stream("t").append(&block(0..1, 10), &[]);
    safe(&bench.disk).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&segment(folder.path())), 0o600);
    assert_eq!(mode(&folder.path().join(FOLDER)), 0o700);
}
