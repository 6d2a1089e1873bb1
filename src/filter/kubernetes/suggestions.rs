//! What a pod's or a namespace's annotations ask for.
//!
//! `fluentbit.io/parser[_STREAM][-CONTAINER]` names a parser, `fluentbit.io/exclude[_STREAM][-CONTAINER]` leaves events out. One that
//! names the container goes before one that does not, then one that names the stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::msgpack::read::{self, Pairs};
use crate::parser::Parser;

const PREFIX: &[u8] = b"fluentbit.io/";

/// What there is to be asked for.
#[derive(Default)]
pub(super) struct Allowed {
    /// `K8S-Logging.Parser`: every parser under its name.
    pub(super) parsers: Option<BTreeMap<String, Arc<Parser>>>,
    /// `K8S-Logging.Exclude`.
    pub(super) exclude: bool,
}

/// A wish and how exactly it was meant.
type Wish<T> = Option<(u8, T)>;

/// What is asked for each stream: standard output, standard error.
#[derive(Default)]
pub(super) struct Wishes {
    parsers: [Wish<Arc<Parser>>; 2],
    excludes: [Wish<bool>; 2],
}

/// What is asked for an event.
pub(super) struct OfStream<'w> {
    pub(super) parser: Option<&'w Arc<Parser>>,
    pub(super) exclude: bool,
}

impl Wishes {
    /// Adds what a map of annotations asks for a container, as far as it is allowed.
    pub(super) fn add(&mut self, annotations: &[u8], container: Option<&str>, allowed: &Allowed) {
        for (key, value) in Pairs::of(annotations) {
            let name = read::text(key).and_then(|key| key.strip_prefix(PREFIX));
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let value = read::text(value).and_then(|value| std::str::from_utf8(value).ok());
            if let (Some(name), Some(value)) = (name, value) {
                self.add_one(name, value, container, allowed);
            }
        }
    }

    fn add_one(&mut self, name: &str, value: &str, container: Option<&str>, allowed: &Allowed) {
        let (name, of_container) = match name.split_once('-') {
            Some((name, of)) => (name, Some(of)),
            None => (name, None),
        };
        let (kind, stream) = match name.split_once('_') {
            Some((kind, stream)) => (kind, Some(stream)),
            None => (name, None),
        };
        if of_container.is_some() && of_container != container {
            return;
        }
        let streams = match stream {
            None => 0..2,
            Some("stdout") => 0..1,
            Some("stderr") => 1..2,
            Some(_) => return,
        };
        let rank = 2 * u8::from(of_container.is_some()) + u8::from(stream.is_some());
        match (kind, &allowed.parsers) {
            ("parser", Some(parsers)) => match parsers.get(value) {
                Some(parser) => put(&mut self.parsers, streams, rank, parser),
                None => crate::warning!(
                    super::COMPONENT,
                    "an annotation asks for the parser `{}`, which there is not",
                    value.escape_debug()
                ),
            },
            ("exclude", _) if allowed.exclude => {
                let exclude = crate::config::value::flag(value).unwrap_or(false);
                put(&mut self.excludes, streams, rank, &exclude);
            }
            _ => {}
        }
    }

    /// Takes from another, such as the namespace's, what nothing is asked for here.
    pub(super) fn fall_back(&mut self, other: &Self) {
        for (own, other) in self.excludes.iter_mut().zip(other.excludes) {
            *own = own.or(other);
        }
    }

    /// What is asked for an event whose `stream` holds this value. One that names no stream is left out, or parsed, only if that
    /// is asked for both.
    pub(super) fn of_stream(&self, stream: Option<&[u8]>) -> OfStream<'_> {
        let [out, err] = &self.parsers;
        let excludes = self.excludes.map(|wish| wish.is_some_and(|(_, wish)| wish));
        let [exclude_out, exclude_err] = excludes;
        let (wish, exclude) = match stream.and_then(read::text) {
            Some(b"stdout") => (out, exclude_out),
            Some(b"stderr") => (err, exclude_err),
            _ => {
                let is_same = match (out, err) {
                    (Some((_, out)), Some((_, err))) => Arc::ptr_eq(out, err),
                    _ => false,
                };
                let both = if is_same { out } else { &None };
                (both, exclude_out && exclude_err)
            }
        };
        OfStream {
            parser: wish.as_ref().map(|(_, parser)| parser),
            exclude,
        }
    }
}

fn put<T: Clone>(wishes: &mut [Wish<T>; 2], streams: std::ops::Range<usize>, rank: u8, what: &T) {
    for wish in wishes.get_mut(streams).into_iter().flatten() {
        if wish.as_ref().is_none_or(|(before, _)| *before <= rank) {
            *wish = Some((rank, what.clone()));
        }
    }
}
