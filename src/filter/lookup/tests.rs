use std::collections::VecDeque;

use super::*;
use tokio::sync::Semaphore;
use tokio::time::{advance, timeout};

impl Found for String {
    fn size(&self) -> usize {
        self.len()
    }
}

/// Gives these answers, each when it may.
struct Scripted {
    answers: Mutex<VecDeque<Answer<String>>>,
    asked: Mutex<Vec<u32>>,
    /// Without permits no answer comes.
    may: Semaphore,
}

/// Shared, so that the test still sees it.
#[derive(Clone)]
struct Script(Arc<Scripted>);

impl Script {
    fn of(answers: impl IntoIterator<Item = Answer<String>>) -> Self {
        Self(Arc::new(Scripted {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
            may: Semaphore::new(1 << 20),
        }))
    }

    fn asked(&self) -> Vec<u32> {
        self.0.asked.lock().unwrap().clone()
    }
}

impl Source for Script {
    type Key = u32;
    type Found = String;

    fn fetch<'a>(&'a self, keys: &'a [u32]) -> BoxFuture<'a, Vec<Answer<String>>> {
        self.0.asked.lock().unwrap().extend(keys);
        Box::pin(async move {
            self.0.may.acquire().await.unwrap().forget();
            let answer = self.0.answers.lock().unwrap().pop_front();
            vec![answer.unwrap_or_else(|| failed("no more answers"))]
        })
    }
}

fn found(text: &str) -> Answer<String> {
    Answer::Found(text.to_owned())
}

fn failed(why: &str) -> Answer<String> {
    Answer::Failed(why.to_owned())
}

fn absent() -> Answer<String> {
    Answer::Absent("nobody of that name".to_owned())
}

const TERMS: Terms = Terms {
    wait: Duration::from_secs(3),
    deadline: Duration::from_secs(2),
    retry_max: Duration::from_secs(30),
    ttl: None,
    absent_ttl: Duration::from_mins(1),
    absent_max: 1,
};

/// A lookup whose task runs.
fn running(script: &Script, terms: Terms) -> Lookup<Script> {
    let lookup = Lookup::new(script.clone(), terms, "filter:test");
    tokio::spawn(lookup.clone().run());
    lookup
}

/// What is known once there is nothing to wait for, and how long that took.
async fn waited(watched: &mut Watched<String>) -> (Option<String>, Duration) {
    let start = Instant::now();
    if let Some(ready) = watched.ready() {
        ready.await;
    }
    let known = watched.take().map(|found| (*found).clone());
    (known, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_key_ask_once_and_all_learn_the_answer() {
    let script = Script::of([found("a")]);
    let lookup = running(&script, TERMS);
    let mut watched: Vec<_> = (0..3).map(|_| lookup.watch(&1).unwrap()).collect();
    for watched in &mut watched {
        assert_eq!(
            waited(watched).await,
            (Some("a".to_owned()), Duration::ZERO)
        );
        assert!(!watched.has_changed() && watched.ready().is_none());
    }
    let mut late = lookup.watch(&1).unwrap();
    assert!(late.has_changed() && late.ready().is_none());
    assert_eq!(late.take().as_deref().map(String::as_str), Some("a"));
    assert_eq!(script.asked(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_short_fault_is_waited_out_and_a_long_one_is_not() {
    let short = Script::of([failed("refused"), failed("refused"), found("a")]);
    let mut watched = running(&short, TERMS).watch(&1).unwrap();
    let (known, took) = waited(&mut watched).await;
    assert_eq!(known.as_deref(), Some("a"));
    assert!(took > Duration::ZERO && took < TERMS.wait, "{took:?}");
    let mut watched = running(&Script::of([]), TERMS).watch(&1).unwrap();
    assert_eq!(waited(&mut watched).await, (None, TERMS.wait));
    assert!(watched.ready().is_none());
}

#[tokio::test(start_paused = true)]
async fn while_the_service_is_down_no_other_key_is_waited_for_and_few_questions_are_asked() {
    let script = Script::of([]);
    let lookup = running(&script, TERMS);
    let mut first = lookup.watch(&0).unwrap();
    waited(&mut first).await;
    let others: Vec<_> = (1..1000).map(|key| lookup.watch(&key).unwrap()).collect();
    assert!(others.iter().all(|other| other.ready().is_none()));
    let before = script.asked().len();
    tokio::time::sleep(Duration::from_mins(5)).await;
    let asked = script.asked().len() - before;
    // Pauses are 15 to 30 s in the end.
    assert!((9..=30).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_given_up_in_time_and_asked_again() {
    let script = Script::of([found("a")]);
    script.0.may.forget_permits(1 << 20);
    let lookup = running(&script, TERMS);
    let mut watched = lookup.watch(&1).unwrap();
    assert_eq!(waited(&mut watched).await, (None, TERMS.wait));
    assert_eq!(script.asked(), [1, 1]);
    script.0.may.add_permits(1 << 20);
    timeout(Duration::from_mins(1), watched.state.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(watched.take().as_deref().map(String::as_str), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn what_is_absent_is_not_waited_for_and_asked_for_again_after_its_time() {
    let script = Script::of([absent(), found("a")]);
    let mut watched = running(&script, TERMS).watch(&1).unwrap();
    assert_eq!(waited(&mut watched).await, (None, Duration::ZERO));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(script.asked(), [1]);
    timeout(Duration::from_secs(2), watched.state.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(watched.take().as_deref().map(String::as_str), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_absent_when_it_was_so_as_often_as_configured() {
    let script = Script::of([absent(), absent(), found("a")]);
    let terms = Terms {
        absent_max: 2,
        ..TERMS
    };
    let mut watched = running(&script, terms).watch(&1).unwrap();
    let (known, took) = waited(&mut watched).await;
    assert_eq!((known, script.asked().len()), (None, 2));
    assert!(took > Duration::ZERO && took < TERMS.wait, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_old_serves_until_something_new_has_come() {
    let script = Script::of([found("old"), failed("refused"), found("new")]);
    let terms = Terms {
        ttl: Some(Duration::from_mins(1)),
        ..TERMS
    };
    let mut watched = running(&script, terms).watch(&1).unwrap();
    waited(&mut watched).await;
    advance(Duration::from_mins(1)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(script.asked(), [1, 1]);
    assert!(watched.ready().is_none());
    assert_eq!(watched.take().as_deref().map(String::as_str), Some("old"));
    tokio::time::sleep(RETRY_BASE).await;
    assert_eq!(watched.take().as_deref().map(String::as_str), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_looks_at_any_more_is_forgotten_when_it_has_become_old() {
    let script = Script::of([found("a")]);
    let terms = Terms {
        ttl: Some(Duration::from_mins(1)),
        ..TERMS
    };
    let lookup = running(&script, terms);
    let mut watched = lookup.watch(&1).unwrap();
    waited(&mut watched).await;
    drop(watched);
    tokio::time::sleep(Duration::from_mins(2)).await;
    let table = lookup.0.lock();
    assert_eq!((table.entries.len(), table.bytes), (0, 0));
    assert_eq!(script.asked(), [1]);
}

#[tokio::test(start_paused = true)]
async fn the_table_is_bounded_in_keys_and_in_bytes() {
    let answers = (0..).map(|_| found(&"x".repeat(BYTES_MAX / 4)));
    let script = Script::of(answers.take(8));
    let lookup = running(&script, TERMS);
    let mut watched: Vec<_> = (0..8).map(|key| lookup.watch(&key).unwrap()).collect();
    let mut known = 0;
    for watched in &mut watched {
        known += usize::from(waited(watched).await.0.is_some());
    }
    assert_eq!((known, lookup.0.lock().bytes), (4, BYTES_MAX));
    let more: Vec<_> = (8..2 * ENTRIES_MAX as u32)
        .map_while(|key| lookup.watch(&key))
        .collect();
    assert_eq!(watched.len() + more.len(), ENTRIES_MAX);
    drop(more);
    assert!(lookup.watch(&u32::MAX).is_some());
}
