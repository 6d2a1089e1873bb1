//! Lines that Docker cut at 16 KiB, put together again (`docker.join_partial`).
//!
//! Every piece is a record of its own:
//!
//! ```text
//! {"log": "..", "partial_message": "true", "partial_id": ID, "partial_ordinal": "1", "partial_last": "false", ..}
//! ```
//! Pieces of one tag and id are one line, in the order they come. The line has the time and the other fields of its first piece,
//! without those that begin with `partial_`, and its text last. It takes the place of its last piece. A line whose next piece
//! does not come in time, that grows too long, or for which there is no room is let go as far as it has come; what follows
//! of it is a line of its own. Whatever is no piece passes untouched.

mod lines;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use self::lines::{Line, Lines, Piece, key};
use crate::budget::Budget;
use crate::event::{Event, Receipt};
use crate::input::{Context, Phase, Session, reached};

/// How long a line waits for its next piece. Docker sends the pieces of one write at once.
const WAIT: Duration = Duration::from_secs(5);
/// Between two looks for lines that have waited too long.
const LOOK: Duration = Duration::from_secs(1);
/// How many lines of the greatest length may wait at once.
const LINES: usize = 2;

/// The lines of one input that wait for pieces.
pub(super) struct Joiner {
    budget: Arc<Budget>,
    /// The longest line.
    line_max: usize,
    lines: Mutex<Lines>,
}

impl Joiner {
    /// For lines of at most `line_max` bytes.
    pub(super) fn new(budget: &Arc<Budget>, line_max: usize) -> Self {
        Self {
            budget: Arc::clone(budget),
            line_max,
            lines: Mutex::default(),
        }
    }

    /// A session in front of that of a connection, for events of this tag. A piece that is kept cannot be taken back, so their
    /// frame has to be good.
    pub(super) fn session<'s>(
        &'s self,
        tag: &'s [u8],
        session: &'s mut dyn Session,
    ) -> impl Session + 's {
        Joining {
            joiner: self,
            tag,
            session,
        }
    }

    /// Adds a piece and lets go of the lines that this ends, its own or others.
    fn add(&self, tag: &[u8], event: Event<'_>, piece: &Piece<'_>) -> Vec<Line> {
        let mut lines = self.lines();
        let mut ended = Vec::new();
        let key = key(tag, piece.id);
        let mut line = lines.remove(&key);
        if line
            .as_ref()
            .is_some_and(|line| line.text.len() + piece.text.len() > self.line_max)
        {
            ended.extend(line.take());
        }
        let mut line = line.unwrap_or_else(|| Line::new(key, tag, event, &self.budget));
        line.grow(piece.text);
        if piece.is_last {
            ended.push(line);
            return ended;
        }
        lines.insert(line);
        while lines.size > LINES * self.line_max {
            let Some(oldest) = lines.oldest() else { break };
            ended.push(oldest);
        }
        ended
    }

    /// The lines that have waited too long; all of them at the end.
    fn due(&self, at_end: bool) -> Vec<Line> {
        let mut lines = self.lines();
        let mut due = Vec::new();
        while let Some(first) = lines.first() {
            if !at_end && first.touched.elapsed() < WAIT {
                break;
            }
            due.extend(lines.oldest());
        }
        due
    }

    /// Lets lines go that wait too long, until the inputs are to stop.
    pub(super) async fn sweep(&self, context: &Context) {
        let mut phase = context.phase.clone();
        let mut session = context.dispatch.session();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => release(self.due(false), session.as_mut()).await,
                () = reached(&mut phase, Phase::Close) => return,
            }
        }
    }

    /// Lets all lines go. To be called when no connection is left.
    pub(super) async fn finish(&self, context: &Context) {
        release(self.due(true), context.dispatch.session().as_mut()).await;
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores lines.
async fn release(lines: Vec<Line>, session: &mut dyn Session) {
    for line in lines {
        session.tag(&line.tag);
        line.offer(session);
        session.commit().await;
    }
}

/// A session in front of that of a connection.
struct Joining<'s> {
    joiner: &'s Joiner,
    /// The tag of the frame.
    tag: &'s [u8],
    session: &'s mut dyn Session,
}

impl Session for Joining<'_> {
    fn tag(&mut self, tag: &[u8]) {
        self.session.tag(tag);
    }

    fn offer(&mut self, event: Event<'_>) {
        let Some(piece) = Piece::of(event.record) else {
            self.session.offer(event);
            return;
        };
        for line in self.joiner.add(self.tag, event, &piece) {
            let is_ours = *line.tag == *self.tag;
            if !is_ours {
                self.session.tag(&line.tag);
            }
            line.offer(self.session);
            if !is_ours {
                self.session.tag(self.tag);
            }
        }
    }

    fn open_frame(&mut self) {
        self.session.open_frame();
    }

    fn refuse_frame(&mut self) {
        self.session.refuse_frame();
    }

    fn receipt(&mut self, receipt: Receipt) {
        self.session.receipt(receipt);
    }

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        self.session.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;
    use crate::input::Dispatch as _;
    use crate::input::testing::Keeper;
    use crate::msgpack::json::Json;
    use crate::msgpack::write;

    /// An input that joins, and what it kept.
    struct Stage {
        joiner: Joiner,
        keeper: Keeper,
        session: Box<dyn Session>,
        context: Context,
        _phase: tokio::sync::watch::Sender<Phase>,
    }

    impl Stage {
        fn new(line_max: usize) -> Self {
            let keeper = Keeper::default();
            let (context, phase) = keeper.context(1 << 20);
            Self {
                joiner: Joiner::new(&context.budget, line_max),
                session: keeper.session(),
                keeper,
                context,
                _phase: phase,
            }
        }

        /// Offers `{"k": text, "log": text, ..pairs}` under the tag.
        fn offer(&mut self, tag: &str, text: &str, pairs: &[(&str, &str)]) {
            let mut record = Vec::new();
            write::map_header(&mut record, pairs.len() as u32 + 2);
            for (key, value) in [("k", text), ("log", text)].iter().chain(pairs) {
                write::str(&mut record, key.as_bytes());
                write::str(&mut record, value.as_bytes());
            }
            self.session.tag(tag.as_bytes());
            let mut joining = Joining {
                joiner: &self.joiner,
                tag: tag.as_bytes(),
                session: self.session.as_mut(),
            };
            joining.offer(Event {
                time: EventTime::default(),
                metadata: &[],
                record: &record,
            });
        }

        fn piece(&mut self, tag: &str, id: &str, text: &str, last: &str) {
            let pairs = [
                ("partial_message", "True"),
                ("partial_id", id),
                ("partial_ordinal", "1"),
                ("partial_last", last),
            ];
            self.offer(tag, text, &pairs);
        }

        async fn kept(&mut self) -> Vec<String> {
            self.session.commit().await;
            let kept = self.keeper.take().into_iter();
            let shown = kept.map(|(tag, _, record)| {
                let mut json = tag;
                json.push(b' ');
                Json::default().value(&record, &mut json);
                String::from_utf8(json).unwrap()
            });
            shown.collect()
        }
    }

    #[tokio::test]
    async fn pieces_become_one_line_with_the_fields_of_the_first() {
        let mut stage = Stage::new(1000);
        stage.piece("t", "A", "a1", "false");
        stage.piece("t", "B", "b1", "false");
        stage.offer("t", "whole", &[]);
        stage.piece("t", "A", "a2", "TRUE");
        stage.piece("u", "B", "other tag", "true");
        stage.piece("t", "B", "", "true");
        let expected = [
            r#"t {"k":"whole","log":"whole"}"#,
            r#"t {"k":"a1","log":"a1a2"}"#,
            r#"u {"k":"other tag","log":"other tag"}"#,
            r#"t {"k":"b1","log":"b1"}"#,
        ];
        assert_eq!(stage.kept().await, expected);
        assert_eq!(stage.context.budget.used(), 0);
    }

    #[tokio::test]
    async fn what_lacks_a_field_is_no_piece() {
        let mut stage = Stage::new(1000);
        stage.offer("t", "no id", &[("partial_message", "true")]);
        stage.offer(
            "t",
            "not partial",
            &[("partial_message", "false"), ("partial_id", "A")],
        );
        assert_eq!(stage.kept().await.len(), 2);
        assert_eq!(stage.joiner.due(true).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_whose_last_piece_never_comes_is_let_go_in_time() {
        let mut stage = Stage::new(1000);
        stage.piece("t", "A", "one ", "false");
        tokio::time::advance(WAIT * 4 / 5).await;
        stage.piece("t", "A", "two", "false");
        tokio::time::advance(WAIT * 4 / 5).await;
        assert!(stage.joiner.due(false).is_empty());
        let swept = tokio::time::timeout(2 * LOOK, stage.joiner.sweep(&stage.context));
        assert!(swept.await.is_err());
        assert_eq!(stage.kept().await, [r#"t {"k":"one ","log":"one two"}"#]);
        stage.piece("t", "A", " three", "false");
        stage.joiner.finish(&stage.context).await;
        assert_eq!(stage.kept().await, [r#"t {"k":" three","log":" three"}"#]);
        assert_eq!(stage.context.budget.used(), 0);
    }

    #[tokio::test]
    async fn lines_are_bounded_each_and_together() {
        let mut stage = Stage::new(1000);
        let half = "x".repeat(600);
        stage.piece("t", "A", &half, "false");
        stage.piece("t", "A", &half, "true");
        let both = stage.kept().await;
        assert_eq!(both.len(), 2, "a line too long is two");

        for id in 0..500 {
            stage.piece("t", &id.to_string(), "x", "false");
            assert!(stage.context.budget.used() <= 2 * 1000 + 600);
        }
        let let_go = stage.kept().await.len();
        assert_eq!(
            let_go + stage.joiner.due(true).len(),
            500,
            "nothing is lost"
        );
    }
}
