//! Many records in one, in the format of the Kinesis Producer Library: a magic number, a protobuf message, its MD5.
//!
//! ```text
//! AggregatedRecord { 1: partition_key_table (string, repeated)   3: records (repeated) }
//! Record           { 1: partition_key_index   3: data }
//! ```
//!
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use std::collections::HashMap;

use md5::{Digest as _, Md5};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// Of the digest.
const DIGEST: usize = 16;
/// The most bytes that a field's number, a length or an index take: a tag and a number of 35 bits.
const FIELD: usize = 6;

/// Records that will be one.
#[derive(Debug, Default)]
pub(super) struct Aggregate {
    keys: Vec<u8>,
    records: Vec<u8>,
    places: HashMap<Box<[u8]>, u64>,
    first_key: Vec<u8>,
}

impl Aggregate {
    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The most bytes it has once this record is added, with the partition key it is sent under.
    pub(super) fn size_with(&self, key: &[u8], data: &[u8]) -> usize {
        MAGIC.len()
            + self.keys.len()
            + self.records.len()
            + key.len()
            + data.len()
            + 4 * FIELD
            + DIGEST
            + self.first_key.len().max(key.len())
    }

    /// Adds a record.
    pub(super) fn add(&mut self, key: &[u8], data: &[u8]) {
        if self.is_empty() {
            self.first_key.extend_from_slice(key);
        }
        let fresh = self.places.len() as u64;
        let place = *self.places.entry(key.into()).or_insert_with(|| {
            bytes_field(1, key, &mut self.keys);
            fresh
        });
        let mut index = Vec::with_capacity(FIELD);
        index.push(1 << 3);
        varint(place, &mut index);
        let length = index.len() + field_size(data.len());
        self.records.push(3 << 3 | 2);
        varint(length as u64, &mut self.records);
        self.records.extend_from_slice(&index);
        bytes_field(3, data, &mut self.records);
    }

    /// Puts the aggregated record in place of what `out` held, and starts anew. The partition key to send it under is that of its
    /// first record.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.keys);
        out.extend_from_slice(&self.records);
        let digest = Md5::digest(out.get(MAGIC.len()..).unwrap_or_default());
        out.extend_from_slice(&digest);
        self.keys.clear();
        self.records.clear();
        self.places.clear();
        std::mem::take(&mut self.first_key)
    }
}

/// Appends a field of bytes.
fn bytes_field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// The size of a field of so many bytes.
fn field_size(length: usize) -> usize {
    let bits = usize::BITS - (length | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + length
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn read_field<'b>(bytes: &mut &'b [u8], tag: u64) -> &'b [u8] {
        assert_eq!(read_varint(bytes), tag);
        let length = read_varint(bytes) as usize;
        let (field, rest) = bytes.split_at(length);
        *bytes = rest;
        field
    }

    /// Takes an aggregated record apart.
    fn taken_apart(record: &[u8]) -> Vec<(String, Vec<u8>)> {
        let message = record.strip_prefix(&MAGIC).unwrap();
        let (mut message, digest) = message.split_at(message.len() - DIGEST);
        assert_eq!(Md5::digest(message).as_slice(), digest);
        let mut keys = Vec::new();
        let mut records = Vec::new();
        while !message.is_empty() {
            if message[0] == 1 << 3 | 2 {
                keys.push(String::from_utf8(read_field(&mut message, 10).to_vec()).unwrap());
                continue;
            }
            let mut record = read_field(&mut message, 26);
            assert_eq!(read_varint(&mut record), 8);
            let index = read_varint(&mut record) as usize;
            records.push((keys[index].clone(), read_field(&mut record, 26).to_vec()));
            assert!(record.is_empty());
        }
        records
    }

    /// Checklist: outputs 14
    #[test]
    fn records_come_out_as_they_went_in_with_their_own_keys() {
        let mut aggregate = Aggregate::default();
        let records: Vec<(String, Vec<u8>)> = (0..300_usize)
            .map(|place| (format!("k{}", place % 200), vec![b'x'; place]))
            .collect();
        let mut most = 0;
        for (key, data) in &records {
            most = aggregate.size_with(key.as_bytes(), data);
            aggregate.add(key.as_bytes(), data);
        }
        let mut out = b"old".to_vec();
        assert_eq!(aggregate.finish(&mut out), b"k0");
        assert!(out.len() <= most);
        assert_eq!(taken_apart(&out), records);
        assert!(aggregate.is_empty());
        aggregate.add(b"next", b"");
        aggregate.finish(&mut out);
        assert_eq!(taken_apart(&out), [("next".to_owned(), Vec::new())]);
    }
}
