//! The nodes of an output: which one is next, and which ones are left alone for a while.
//!
//! An output has one node, or those of its `Upstream` file:
//!
//! ```text
//! [UPSTREAM]
//!     Name    aggregators
//! [NODE]
//!     Name    first
//!     Host    10.0.0.1
//!     Port    24224
//!     Weight  60
//! ```
//! Frames go to the nodes in turn, by their weights. A node that fails is left alone, 1 s at first and up to a minute, while there
//! is another; where a node cannot be reached at all, the frame goes to the next at once. What a node does not say of TLS and the
//! handshake is as in the output's section. How frames are made cannot differ between nodes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::framing::Framing;
use super::login::Login;
use super::node::{Address, Node, NodeError, Way};
use crate::config::{SectionKind, Settings};
use crate::output::Answer;
use crate::output::net::{Dialer, Net, Tls, with_causes};

/// As Fluent Bit's `net.keepalive_idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// As Fluentd's `weight`.
const WEIGHT: i64 = 60;
/// The first and the longest time a node is left alone.
const LEAVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// All nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    turns: Mutex<Turns>,
}

/// Reads the section, and the file that `upstream` names.
pub(super) fn read(settings: &mut Settings<'_>) -> (Nodes, Framing) {
    let framing = Framing::read(settings, &Framing::default());
    let way = Way {
        address: address(settings, true),
        tls: tls(settings),
        login: Login::read(settings, None),
    };
    let dialer = Arc::new(Dialer::new(Net::read(settings, IDLE_TIMEOUT)));
    let Some(sections) = settings.upstream("upstream") else {
        return (Nodes::new(vec![(way, WEIGHT)], &dialer), framing);
    };
    let mut ways = Vec::new();
    let mut framings = Vec::new();
    for section in &sections {
        let mut inner = settings.inside(section);
        if section.kind == SectionKind::Upstream {
            inner.finish();
            continue;
        }
        inner.tolerate_unknown();
        framings.push(Framing::read(&mut inner, &framing));
        ways.push(node(&mut inner, &way));
        inner.finish();
    }
    if framings.iter().any(|other| Some(other) != framings.first()) {
        settings.error(
            "upstream",
            "its nodes differ in how frames are made (tag, compress, require_ack_response and such); make an output of each",
        );
    }
    if ways.is_empty() {
        settings.error("upstream", "the file has no [NODE]");
        ways.push((way, WEIGHT));
    }
    let framing = framings.into_iter().next().unwrap_or(framing);
    (Nodes::new(ways, &dialer), framing)
}

fn node(settings: &mut Settings<'_>, base: &Way) -> (Way, i64) {
    let weight = settings
        .integer_in("weight", 0..=1_000_000)
        .unwrap_or(WEIGHT);
    let own_tls = settings.has_any("tls");
    let tls = tls(settings);
    let way = Way {
        address: address(settings, false),
        tls: if own_tls { tls } else { base.tls.clone() },
        login: Login::read(settings, base.login.as_ref()),
    };
    (way, weight)
}

fn address(settings: &mut Settings<'_>, has_default: bool) -> Address {
    let path = settings.text("unix_path").map(Into::into);
    let port = settings.port("port");
    let host = settings.text("host");
    if let Some(path) = path {
        return Address::Unix(path);
    }
    for (key, is_missing) in [("host", host.is_none()), ("port", port.is_none())] {
        if is_missing && !has_default {
            settings.error(key, "missing; a node needs it");
        }
    }
    Address::Tcp(
        host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        port.unwrap_or(24224),
    )
}

fn tls(settings: &mut Settings<'_>) -> Option<Tls> {
    let tls = Tls::read(settings);
    settings.flag("tls", false).then_some(tls)
}

impl Nodes {
    fn new(ways: Vec<(Way, i64)>, dialer: &Arc<Dialer>) -> Self {
        let turns = ways.iter().map(|(_, weight)| Turn::new(*weight)).collect();
        let nodes = ways
            .into_iter()
            .map(|(way, _)| Node::new(way, Arc::clone(dialer)));
        Self {
            nodes: nodes.collect(),
            turns: Mutex::new(Turns(turns)),
        }
    }

    /// Connects to every node.
    ///
    /// # Errors
    /// A sentence about those that cannot be reached.
    pub(super) async fn check(&self) -> Result<String, String> {
        let asked = self.nodes.iter().map(Node::check);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(said) => good.push(said),
                Err(error) => bad.push(with_causes(&error)),
            }
        }
        if bad.is_empty() {
            Ok(good.join(", "))
        } else {
            Err(bad.join(", "))
        }
    }

    /// Sends a frame to the node whose turn it is, or to the next that can be reached.
    ///
    /// # Cancel safety
    /// When dropped, nobody knows whether a node has the frame.
    pub(super) async fn send(&self, frame: Bytes, id: Option<Bytes>) -> Answer {
        let order = self.turns().order(Instant::now());
        let mut why = String::new();
        for index in order {
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            match node.send(&frame, id.as_ref()).await {
                Ok(()) => {
                    self.turns().succeed(index);
                    return Answer::done();
                }
                Err(error) => {
                    self.turns().fail(index, Instant::now());
                    why = with_causes(&error);
                    if matches!(error, NodeError::Failed { .. }) {
                        break;
                    }
                }
            }
        }
        Answer::again(why)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose turn it is.
#[derive(Debug)]
struct Turns(Vec<Turn>);

#[derive(Debug)]
struct Turn {
    weight: i64,
    /// Grows by the weight with every frame; who has most is next, and pays for it.
    credit: i64,
    failures: u32,
    /// Left alone until then.
    alone: Option<Instant>,
}

impl Turn {
    fn new(weight: i64) -> Self {
        Self {
            weight,
            credit: 0,
            failures: 0,
            alone: None,
        }
    }
}

impl Turns {
    /// The nodes in the order in which they are to be tried: first the one whose turn it is, last those that failed.
    fn order(&mut self, now: Instant) -> Vec<usize> {
        let is_alone =
            |turn: &Turn| turn.alone.is_some_and(|until| until > now) || turn.weight == 0;
        let mut total = 0;
        let mut next: Option<usize> = None;
        for (index, turn) in self.0.iter_mut().enumerate() {
            if is_alone(turn) {
                continue;
            }
            turn.credit += turn.weight;
            total += turn.weight;
            next = next.or(Some(index));
        }
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        let credit = |index: usize| self.0.get(index).map_or(i64::MIN, |turn| turn.credit);
        let alone = |index: usize| self.0.get(index).is_none_or(is_alone);
        order.sort_by_key(|&index| (alone(index), std::cmp::Reverse(credit(index))));
        if next.is_some()
            && let Some(&first) = order.first()
            && let Some(turn) = self.0.get_mut(first)
        {
            turn.credit -= total;
        }
        order
    }

    fn succeed(&mut self, index: usize) {
        if let Some(turn) = self.0.get_mut(index) {
            turn.failures = 0;
            turn.alone = None;
        }
    }

    fn fail(&mut self, index: usize, now: Instant) {
        if let Some(turn) = self.0.get_mut(index) {
            let (first, longest) = LEAVE;
            let time = first
                .saturating_mul(1 << turn.failures.min(10))
                .min(longest);
            turn.failures += 1;
            turn.alone = Some(now + time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn turns(weights: &[i64]) -> Turns {
        Turns(weights.iter().map(|weight| Turn::new(*weight)).collect())
    }

    fn firsts(turns: &mut Turns, now: Instant, count: usize) -> Vec<usize> {
        (0..count).map(|_| turns.order(now)[0]).collect()
    }

    #[test]
    fn nodes_take_turns_by_their_weights() {
        let now = Instant::now();
        assert_eq!(firsts(&mut turns(&[60, 60]), now, 4), [0, 1, 0, 1]);
        assert_eq!(firsts(&mut turns(&[2, 1]), now, 6), [0, 1, 0, 0, 1, 0]);
        assert_eq!(firsts(&mut turns(&[1]), now, 2), [0, 0]);
    }

    #[test]
    fn a_node_that_fails_is_left_alone_longer_each_time_until_it_succeeds() {
        let (mut turns, now) = (turns(&[1, 1]), Instant::now());
        turns.fail(0, now);
        assert_eq!(firsts(&mut turns, now, 3), [1, 1, 1]);
        assert_eq!(turns.order(now), [1, 0]);
        let later = now + Duration::from_secs(1);
        assert!(firsts(&mut turns, later, 2).contains(&0));
        turns.fail(0, later);
        assert_eq!(
            firsts(&mut turns, later + Duration::from_millis(1900), 2),
            [1, 1]
        );
        turns.succeed(0);
        assert!(firsts(&mut turns, later, 2).contains(&0));
        for _ in 0..40 {
            turns.fail(1, now);
        }
        assert_eq!(turns.0[1].alone, Some(now + LEAVE.1));
    }

    #[test]
    fn nodes_that_all_fail_and_those_of_no_weight_are_tried_all_the_same() {
        let (mut turns, now) = (turns(&[1, 0]), Instant::now());
        assert_eq!(turns.order(now), [0, 1]);
        turns.fail(0, now);
        turns.fail(1, now);
        assert_eq!(turns.order(now).len(), 2);
    }

    /// What `read` makes of a section that names a file with this text, and its problems.
    fn upstream(text: &str, properties: &[(&str, &str)]) -> (Nodes, Framing, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let name = file.path().display().to_string();
        let properties = [&[("upstream", &*name)], properties].concat();
        let ((nodes, framing), problems) = configured(&properties, read);
        (nodes, framing, problems.join("\n"))
    }

    #[test]
    fn an_upstream_file_names_the_nodes_and_inherits_from_the_section() {
        let text = "[UPSTREAM]\n Name u\n[NODE]\n Name a\n Host a.test\n Port 1\n Weight 5\n compress gzip\n\
                    [NODE]\n Name b\n Host b.test\n Port 2\n tls on\n self_hostname me\n compress gzip\n";
        let base = [("shared_key", "k"), ("require_ack_response", "on")];
        let (nodes, framing, said) = upstream(text, &base);
        assert_eq!(said, "");
        assert!(framing.gzip && framing.ack);
        let ways: Vec<_> = nodes.nodes.iter().map(Node::way).collect();
        let addresses: Vec<_> = ways.iter().map(|way| way.address.to_string()).collect();
        assert_eq!(addresses, ["a.test:1", "b.test:2"]);
        assert_eq!(
            (ways[0].tls.is_some(), ways[1].tls.is_some()),
            (false, true)
        );
        let names: Vec<_> = ways
            .iter()
            .map(|way| way.login.as_ref().unwrap().names().len())
            .collect();
        assert_eq!(names, [2, 1]);
        let weights: Vec<_> = nodes.turns().0.iter().map(|turn| turn.weight).collect();
        assert_eq!(weights, [5, WEIGHT]);
    }

    #[test]
    fn what_is_wrong_with_an_upstream_file_is_said() {
        let node = "[UPSTREAM]\n Name u\n[NODE]\n Name a\n Host a\n Port 1\n";
        for (text, expected) in [
            ("[UPSTREAM]\n Name u\n".to_owned(), "has no [NODE]"),
            (
                "[NODE]\n Name a\n Port 1\n".to_owned(),
                "key `host`: missing",
            ),
            ("[NODE]\n Host a\n Port 1\n".to_owned(), "has no `Name`"),
            (
                format!("{node}[NODE]\n Name b\n Host b\n Port 1\n tag x\n"),
                "differ in how frames",
            ),
            (format!("{node} username x\n"), "needs shared_key"),
            (format!("{node} colour red\n"), "colour"),
        ] {
            let (_, _, said) = upstream(&text, &[]);
            assert!(said.contains(expected), "{text}: {said}");
        }
        let (_, problems) = configured(&[("upstream", "/no/such/file")], read);
        assert!(problems.concat().contains("/no/such/file"), "{problems:?}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for (properties, expected) in [
            (
                &[("compress", "gzip"), ("time_as_integer", "on")][..],
                "exclude each other",
            ),
            (&[("compress", "zstd")], "write one of gzip, text"),
            (&[("tag", "a.$")], "names no key"),
            (&[("username", "u")], "needs shared_key"),
        ] {
            let (_, problems) = configured(properties, read);
            assert!(problems.concat().contains(expected), "{problems:?}");
        }
    }
}
