//! Objects made of pairs that stand in no one map: a record with keys left out, renamed and added.

use std::collections::HashMap;

use super::{FEW, Pair, Writer, key_bit, name};

impl<const NESTED: bool> Writer<'_, NESTED> {
    /// Writes an object. Nearly all have few pairs and no two keys alike, which shows while they are written.
    pub(super) fn object<'v>(&mut self, pairs: impl Iterator<Item = Pair<'v>> + Clone) {
        let (start, grown) = (self.out.len(), self.grown);
        if self.distinct(&pairs).is_none() {
            self.out.truncate(start);
            self.grown = grown;
            self.unique(pairs);
        }
    }

    /// Writes pairs in one pass, or gives up where there are many or two keys look alike.
    fn distinct<'v>(&mut self, pairs: &(impl Iterator<Item = Pair<'v>> + Clone)) -> Option<()> {
        let mut seen = 0;
        self.out.push(b'{');
        for (index, (key, value)) in pairs.clone().enumerate() {
            let (name, bit) = (name(key), key_bit(name(key)));
            let is_seen = |index| {
                pairs
                    .clone()
                    .take(index)
                    .any(|(other, _)| self::name(other) == name)
            };
            if index >= FEW as usize || seen & bit != 0 && is_seen(index) {
                return None;
            }
            seen |= bit;
            self.pair(index == 0, (key, value));
        }
        self.out.push(b'}');
        Some(())
    }

    /// Writes all pairs as they are.
    pub(super) fn pairs<'v>(&mut self, pairs: impl Iterator<Item = Pair<'v>>) {
        self.out.push(b'{');
        for (index, pair) in pairs.enumerate() {
            self.pair(index == 0, pair);
        }
        self.out.push(b'}');
    }

    /// Writes of each key its last pair.
    pub(super) fn unique<'v>(&mut self, pairs: impl Iterator<Item = Pair<'v>> + Clone) {
        let places = pairs.clone().enumerate();
        let last: HashMap<&[u8], usize> =
            places.map(|(place, (key, _))| (name(key), place)).collect();
        let places = pairs.enumerate();
        let is_last = |(place, (key, _)): &(usize, Pair<'v>)| last.get(name(key)) == Some(place);
        self.pairs(places.filter(is_last).map(|(_, pair)| pair));
    }

    fn pair(&mut self, is_first: bool, (key, value): Pair<'_>) {
        if !is_first {
            self.out.push(b',');
        }
        self.key(key);
        self.out.push(b':');
        self.value(value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Json;
    use crate::msgpack::write;

    fn keys(names: &[&str]) -> Vec<Vec<u8>> {
        let encoded = names.iter().map(|name| {
            let mut key = Vec::new();
            write::str(&mut key, name.as_bytes());
            key
        });
        encoded.collect()
    }

    fn object(names: &[&str]) -> String {
        let keys = keys(names);
        let values: Vec<[u8; 1]> = (0..names.len())
            .map(|value| [(value % 100) as u8])
            .collect();
        let pairs = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| (&key[..], &value[..]));
        let mut out = Vec::new();
        Json::default().object(pairs.clone(), &mut out);
        let mut nested = Vec::new();
        Json::default().nested_object(pairs, &mut nested);
        let mut expected = Vec::new();
        super::super::escape(&out, &mut expected);
        assert_eq!(nested, expected);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_object_of_loose_pairs_holds_each_key_once_with_its_last_value() {
        assert_eq!(object(&[]), "{}");
        assert_eq!(object(&["a", "b\""]), r#"{"a":0,"b\"":1}"#);
        assert_eq!(object(&["a", "b", "a"]), r#"{"b":1,"a":2}"#);
    }

    #[test]
    fn many_pairs_are_as_good_as_few() {
        let names: Vec<String> = (0..500)
            .map(|number| format!("k{}", number % 400))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let read: serde_json::Map<_, _> = serde_json::from_str(&object(&names)).unwrap();
        assert_eq!(
            (read.len(), &read["k0"], &read["k399"]),
            (400, &0.into(), &99.into())
        );
    }
}
