use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::sync::watch;

use crate::budget::Budget;
use crate::buffer::{BATCH_MAX, Inbox, Message, Pool, Source};
use crate::config::Variables;
use crate::config::testing::configured;
use crate::event::{Event, EventTime};
use crate::filter::{
    self, HOPS_MAX, Link, MakeOperator, Means, Operator, Origin, Outbox, Verdict, View,
};
use crate::input::{Dispatch, Session};
use crate::msgpack::json::Json;
use crate::parser::Parsers;
use crate::pipeline::dispatch::{ChainLink, Dispatcher, Route, Stages};
use crate::pipeline::release::Releaser;
use crate::router::Matcher;
use crate::telemetry::{FilterLedger, InputLedger, RouteLedger};

/// Holds events until one comes whose `log` is `end`, and joins their texts in the `log` of the first; also when they have waited
/// for [`PATIENCE`].
#[derive(Clone, Default)]
struct Join {
    held: Vec<String>,
    origin: Option<Origin>,
    due: Option<Instant>,
}

const PATIENCE: Duration = Duration::from_millis(50);

impl MakeOperator for Join {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(self.clone())
    }
}

impl Operator for Join {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        if outbox.is_joined_here() {
            return Verdict::Keep;
        }
        let text = crate::msgpack::read::text(event.get(b"log").unwrap()).unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let origin = self.origin.get_or_insert(Origin {
            parts: 0,
            ..outbox.origin()
        });
        origin.parts += 1;
        self.due = Some(outbox.now() + PATIENCE);
        let ends = text.ends_with("end");
        self.held.push(text);
        if ends {
            self.release(outbox, true);
        }
        Verdict::Taken
    }

    fn release(&mut self, outbox: &mut Outbox, everything: bool) {
        if !everything && self.due.is_some_and(|due| due > outbox.now()) {
            return;
        }
        self.due = None;
        let Some(origin) = self.origin.take() else {
            return;
        };
        let text = std::mem::take(&mut self.held).join("+");
        outbox.again(origin, EventTime::default(), &[], |out| {
            crate::msgpack::write::map_header(out, 1);
            crate::msgpack::write::str(out, b"log");
            crate::msgpack::write::str(out, text.as_bytes());
        });
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn held(&self) -> usize {
        self.held.iter().map(String::len).sum()
    }
}

/// Holds events, and drops them when it has to let go.
#[derive(Clone, Default)]
struct Swallow(Vec<Origin>);

impl MakeOperator for Swallow {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(self.clone())
    }
}

impl Operator for Swallow {
    fn apply(&mut self, _: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        self.0.push(outbox.origin());
        Verdict::Taken
    }

    fn release(&mut self, outbox: &mut Outbox, _everything: bool) {
        for origin in self.0.drain(..) {
            outbox.drop_held(origin, 5);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.0.first().map(|_| Instant::now())
    }

    fn held(&self) -> usize {
        self.0.len()
    }
}

/// Puts out two events for one.
struct Twice;

impl MakeOperator for Twice {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(Self)
    }
}

impl Operator for Twice {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        for parts in [1, 0] {
            let origin = Origin {
                parts,
                ..outbox.origin()
            };
            outbox.next(origin, event.time(), event.metadata(), |out| {
                event.write(out);
            });
        }
        Verdict::Taken
    }
}

/// An input's way through a chain into one output that takes every tag.
struct Bench {
    dispatcher: Dispatcher,
    inbox: Arc<Inbox>,
    budget: Arc<Budget>,
    ledger: Arc<InputLedger>,
}

fn matching(glob: &str) -> Matcher {
    configured(&[("match", glob)], Matcher::read).0
}

/// A filter as its section says.
fn link(name: &str, glob: &str, properties: &[(&str, &str)]) -> ChainLink {
    let (link, problems) = configured(properties, |settings| {
        let means = Means {
            parsers: &Parsers::default(),
            variables: &Variables::default(),
            directory: Path::new(""),
            halt: &filter::Halt::default(),
        };
        filter::find(name).unwrap().build(settings, means)
    });
    assert!(problems.is_empty(), "{problems:?}");
    ChainLink {
        matcher: matching(glob),
        processor_of: None,
        only_of: None,
        link,
        ledger: Some(Arc::new(FilterLedger::new(name))),
    }
}

fn operator(glob: &str, maker: impl MakeOperator + 'static) -> ChainLink {
    ChainLink {
        matcher: matching(glob),
        processor_of: None,
        only_of: None,
        link: Link::Operator(Box::new(maker)),
        ledger: None,
    }
}

fn mark(key: &str) -> ChainLink {
    link("record_modifier", "*", &[("record", key)])
}

impl Bench {
    fn new(name: &str, chain: Vec<ChainLink>) -> Self {
        let inbox = Arc::new(Inbox::default());
        let stages = Stages {
            chain,
            routes: vec![Route {
                matcher: Matcher::all(),
                inbox: Arc::clone(&inbox),
                ledger: Arc::new(RouteLedger::new(name)),
                processors: None,
            }],
            chosen: HashMap::new(),
            pool: Arc::new(Pool::new(BATCH_MAX)),
            linger: Duration::ZERO,
            hasty: watch::Sender::new(false).subscribe(),
            _tasks: tokio::task::JoinSet::new(),
            _alive: watch::Sender::new(()),
        };
        let budget = Budget::new(1 << 20);
        let ledger = Arc::new(InputLedger::new(name));
        let dispatcher = Dispatcher::new(
            Arc::new(stages),
            Arc::clone(&budget),
            Arc::clone(&ledger),
            Source::new("in.0".into()),
            name.to_owned(),
            Some(0),
            None,
        );
        Self {
            dispatcher,
            inbox,
            budget,
            ledger,
        }
    }

    async fn send(&self, tag: &str, logs: &[&str]) {
        let mut session = self.dispatcher.session();
        offer(session.as_mut(), tag, logs);
        session.commit().await;
    }

    /// What the output was given since the last time: the tag and the record of each event.
    fn stored(&self) -> Vec<String> {
        let (mut stored, mut messages) = (Vec::new(), Vec::new());
        self.inbox.take(&mut messages);
        while !messages.is_empty() {
            for message in std::mem::take(&mut messages) {
                match message {
                    Message::Opened(stream, _) => stream.seal(),
                    Message::Sealed(batch, _) => {
                        for event in batch.block.events_from(0) {
                            let mut json = Vec::new();
                            Json::default().value(event.record, &mut json);
                            let json = String::from_utf8(json).unwrap();
                            stored.push(format!("{} {json}", batch.tag));
                        }
                    }
                    Message::Hurry => {}
                }
            }
            self.inbox.take(&mut messages);
        }
        stored
    }
}

fn offer(session: &mut dyn Session, tag: &str, logs: &[&str]) {
    session.tag(tag.as_bytes());
    for log in logs {
        let mut record = Vec::new();
        let json = format!("{{\"log\":\"{log}\"}}");
        crate::parser::json::to_msgpack(json.as_bytes(), &mut record).unwrap();
        session.offer(Event {
            time: EventTime::default(),
            metadata: &[],
            record: &record,
        });
    }
}

#[tokio::test]
async fn a_session_that_rests_forgets_no_event_and_goes_on() {
    let bench = Bench::new("chain-rest", vec![mark("mark 1")]);
    let mut session = bench.dispatcher.session();
    offer(session.as_mut(), "t", &["one"]);
    // In the middle there is nothing to give back.
    session.rest();
    offer(session.as_mut(), "t", &["two"]);
    session.commit().await;
    session.rest();
    // More tags than a session remembers.
    let tags: Vec<_> = (0..20).map(|number| format!("{number:04000}")).collect();
    for tag in &tags {
        offer(session.as_mut(), tag, &["text"]);
    }
    session.commit().await;
    session.rest();
    offer(session.as_mut(), "t", &["three"]);
    session.commit().await;
    let mut stored = bench.stored();
    stored.retain(|event| event.starts_with("t "));
    let event = |log: &str| format!(r#"t {{"log":"{log}","mark":"1"}}"#);
    assert_eq!(stored, ["one", "two", "three"].map(event));
    let accepted = tags.len() as u64 + 3;
    assert_eq!(bench.ledger.accepted().0, accepted);
}

#[tokio::test]
async fn what_is_joined_goes_through_the_whole_chain_once_more() {
    let bench = Bench::new(
        "chain-again",
        vec![
            mark("before 1"),
            operator("*", Join::default()),
            mark("after 1"),
        ],
    );
    bench.send("t", &["a", "b"]).await;
    assert_eq!(bench.stored(), Vec::<String>::new());
    assert!(bench.budget.used() > 0, "what is held is paid for");
    assert_eq!(bench.ledger.held(), 2);
    bench.send("t", &["end", "c"]).await;
    assert_eq!(
        bench.stored(),
        [r#"t {"log":"a+b+end","before":"1","after":"1"}"#]
    );
    assert_eq!(bench.ledger.held(), 1);
}

/// Checklist: filters 56, 60
#[tokio::test]
async fn each_tag_is_joined_by_itself_and_two_joiners_both_work() {
    let bench = Bench::new(
        "chain-two",
        vec![
            operator("*", Join::default()),
            operator("*", Join::default()),
        ],
    );
    bench.send("t", &["a"]).await;
    bench.send("u", &["b", "end"]).await;
    bench.send("t", &["end"]).await;
    assert_eq!(
        bench.stored(),
        [r#"u {"log":"b+end"}"#, r#"t {"log":"a+end"}"#]
    );
    assert_eq!(bench.budget.used(), 0);
}

/// Checklist: filters 58, 59
#[tokio::test]
async fn what_is_held_goes_when_it_is_due_and_at_the_end() {
    let bench = Bench::new(
        "chain-release",
        vec![operator("*", Join::default()), mark("after 1")],
    );
    let (end, ended) = watch::channel(false);
    let releaser = tokio::spawn(Releaser::new(bench.dispatcher.clone()).run(ended));
    bench.send("t", &["a"]).await;
    bench.inbox.arrived().await;
    assert_eq!(bench.stored(), [r#"t {"log":"a","after":"1"}"#]);
    bench.send("t", &["b"]).await;
    end.send_replace(true);
    releaser.await.unwrap();
    assert_eq!(bench.stored(), [r#"t {"log":"b","after":"1"}"#]);
}

#[tokio::test]
async fn what_was_held_and_is_dropped_counts_as_filtered() {
    let mut chain = vec![operator("*", Swallow::default())];
    let book = Arc::new(FilterLedger::new("chain-swallow"));
    chain[0].ledger = Some(Arc::clone(&book));
    let bench = Bench::new("chain-swallow", chain);
    bench.send("t", &["a", "b"]).await;
    assert_eq!((bench.ledger.held(), book.done().drop_records), (2, 0));
    let (_, ended) = watch::channel(true);
    Releaser::new(bench.dispatcher.clone()).run(ended).await;
    assert_eq!(bench.stored(), Vec::<String>::new());
    assert_eq!((bench.ledger.held(), bench.budget.used()), (0, 0));
    let done = book.done();
    assert_eq!((done.drop_records, done.drop_bytes), (2, 10));
}

#[tokio::test]
async fn several_events_for_one_go_on_behind_the_filter_that_made_them() {
    let bench = Bench::new(
        "chain-twice",
        vec![mark("before 1"), operator("*", Twice), mark("after 1")],
    );
    bench.send("t", &["a"]).await;
    let event = r#"t {"log":"a","before":"1","after":"1"}"#;
    assert_eq!(bench.stored(), [event, event]);
}

/// Checklist: filters 1, 49
#[tokio::test]
async fn another_tag_means_the_chain_and_the_outputs_of_that_tag() {
    let bench = Bench::new(
        "chain-retag",
        vec![
            mark("first 1"),
            link("rewrite_tag", "t", &[("rule", "$log ^a new.$TAG false")]),
            link("rewrite_tag", "t", &[("rule", "$log b copy.$TAG true")]),
            link("grep", "new.*", &[("exclude", "log c")]),
        ],
    );
    bench.send("t", &["a1", "xb", "ac", "a2", "z"]).await;
    let mut stored = bench.stored();
    stored.sort();
    assert_eq!(
        stored,
        [
            r#"copy.t {"log":"xb","first":"1"}"#,
            r#"new.t {"log":"a1","first":"1"}"#,
            r#"new.t {"log":"a2","first":"1"}"#,
            r#"t {"log":"xb","first":"1"}"#,
            r#"t {"log":"z","first":"1"}"#,
        ]
    );
}

/// Checklist: filters 50, 51
#[tokio::test]
async fn rules_that_feed_each_other_end() {
    let rule = |glob, rule| link("rewrite_tag", glob, &[("rule", rule)]);
    let bench = Bench::new(
        "chain-circle",
        vec![
            rule("*", "log . x.$TAG false"),
            rule("x.*", "log . y.$TAG false"),
        ],
    );
    bench.send("t", &["a"]).await;
    let stored = bench.stored();
    assert_eq!(stored.len(), 1);
    let hops = stored[0].matches("x.").count() + stored[0].matches("y.").count();
    assert_eq!(hops, usize::from(HOPS_MAX));
}

#[tokio::test]
async fn a_refused_frame_has_not_touched_an_operator() {
    let bench = Bench::new("chain-refuse", vec![operator("*", Join::default())]);
    let mut session = bench.dispatcher.session();
    session.tag(b"t");
    session.open_frame();
    offer(session.as_mut(), "t", &["a"]);
    session.open_frame();
    offer(session.as_mut(), "t", &["refused", "end"]);
    session.refuse_frame();
    session.commit().await;
    drop(session);
    bench.send("t", &["end"]).await;
    assert_eq!(bench.stored(), [r#"t {"log":"a+end"}"#]);
}

/// A chain in which everything that can happen to an event happens.
fn busy_chain() -> Vec<ChainLink> {
    let lines = [
        ("multiline.parser", "java, go"),
        ("multiline.key_content", "log"),
    ];
    let rule = |rule| link("rewrite_tag", "*", &[("rule", rule)]);
    vec![
        mark("first 1"),
        link("multiline", "t*", &lines),
        rule("log b moved.$TAG false"),
        rule("log c copied.$TAG true"),
        link("grep", "*", &[("exclude", "log d")]),
        operator("copied.*", Twice),
        mark("last 1"),
    ]
}

fn any_log() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "x.Error: a",
        "\\tat b",
        "\\tat c",
        "c",
        "d",
        "panic: b",
        "",
        "z",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn how_events_are_cut_into_commits_makes_no_difference(
        events in prop::collection::vec((0..3usize, any_log(), prop::bool::ANY), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let stored = |is_cut: &dyn Fn(bool) -> bool| runtime.block_on(async {
            let bench = Bench::new("chain-cuts", busy_chain());
            let mut session = bench.dispatcher.session();
            for (tag, log, cut) in &events {
                offer(session.as_mut(), ["t1", "t2", "u"][*tag], &[log]);
                if is_cut(*cut) {
                    session.commit().await;
                }
            }
            session.commit().await;
            let (_, ended) = watch::channel(true);
            Releaser::new(bench.dispatcher.clone()).run(ended).await;
            let mut stored = bench.stored();
            assert_eq!((bench.ledger.held(), bench.budget.used()), (0, 0));
            // Stable: what counts is the order within a tag.
            stored.sort_by_key(|event| event.split(' ').next().unwrap().to_owned());
            stored
        });
        let whole = stored(&|_| false);
        prop_assert_eq!(&whole, &stored(&|cut| cut));
        prop_assert_eq!(&whole, &stored(&|_| true));
    }
}
