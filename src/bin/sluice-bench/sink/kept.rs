//! Texts that tests read back, bounded in bytes; nothing is kept unless `--keep` asks for it.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Items as the clients sent them, by stream.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The most bytes of request bodies to keep; 0 keeps nothing.
    limit: usize,
    used: usize,
    /// Whether something found no room.
    is_full: bool,
    items: HashMap<String, Vec<Value>>,
}

impl Kept {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Keeps those elements of the array `list` in `body` that `stored` accepts by their index.
    ///
    /// A body that does not fit any more is passed over as a whole.
    pub(super) fn add(
        &mut self,
        stream: &str,
        body: &[u8],
        list: &str,
        mut stored: impl FnMut(usize) -> bool,
    ) {
        if self.used + body.len() > self.limit {
            self.is_full = true;
            return;
        }
        let Ok(mut request) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        let Some(Value::Array(items)) = request.get_mut(list).map(Value::take) else {
            return;
        };
        self.used += body.len();
        let accepted = items
            .into_iter()
            .enumerate()
            .filter(|(at, _)| stored(*at))
            .map(|(_, item)| item);
        self.items
            .entry(stream.to_owned())
            .or_default()
            .extend(accepted);
    }

    /// What a stream has kept under the name `list`, oldest first, and whether that is everything.
    pub(super) fn to_json(&self, list: &str, stream: &str) -> Value {
        let items = self.items.get(stream).map_or(&[][..], Vec::as_slice);
        json!({ list: items, "complete": !self.is_full })
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}
