//! Records of the journal file: `length, !length, crc32, payload`, numbers little-endian.
//!
//! The inverted length tells a torn tail (the file ends within a record) from damage (bytes are
//! there and wrong): only the first may be cut and forgotten.

use bytes::{Buf, BufMut};
use prost::Message;
use shivneri_core::{AttemptId, Outcome};
use uuid::Uuid;

use crate::{
    frame::{decode_outcome, encode_outcome},
    wire,
};

const HEAD: usize = 12;

/// The journal's name and what it belongs to; the last one in the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Title {
    pub(super) journal: Uuid,
    /// The boot it was written in; empty where the machine doesn't tell.
    pub(super) boot: String,
    /// The server's data it was written for, once known.
    pub(super) incarnation: Option<Uuid>,
}

#[derive(Clone, Debug)]
pub(super) enum Record {
    Title(Title),
    Started(AttemptId),
    Ended(AttemptId, Outcome),
    /// Reported and committed, but still to be listed.
    Kept(AttemptId),
    Forgotten(AttemptId),
}

impl Record {
    pub(super) fn append_to(&self, buffer: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(64);
        match self {
            Self::Title(title) => {
                payload.put_u8(1);
                payload.put_slice(title.journal.as_bytes());
                payload.put_slice(title.incarnation.unwrap_or_default().as_bytes());
                payload.put_slice(title.boot.as_bytes());
            }
            Self::Started(id) => put_id(&mut payload, 2, id),
            Self::Ended(id, outcome) => {
                put_id(&mut payload, 3, id);
                payload.put_slice(&encode_outcome(outcome).encode_to_vec());
            }
            Self::Kept(id) => put_id(&mut payload, 4, id),
            Self::Forgotten(id) => put_id(&mut payload, 5, id),
        }
        let length = u32::try_from(payload.len()).expect("an outcome is far below 4 GiB");
        buffer.put_u32_le(length);
        buffer.put_u32_le(!length);
        buffer.put_u32_le(crc32fast::hash(&payload));
        buffer.put_slice(&payload);
    }

    fn read(mut payload: &[u8]) -> Option<Self> {
        let kind = payload.try_get_u8().ok()?;
        let id = Uuid::from_bytes(take_16(&mut payload)?);
        let attempt = AttemptId::from_uuid(id);
        let bare = |record: Self| payload.is_empty().then_some(record);
        match kind {
            1 => {
                let incarnation = Uuid::from_bytes(take_16(&mut payload)?);
                let boot = String::from_utf8(payload.to_vec()).ok()?;
                let incarnation = (!incarnation.is_nil()).then_some(incarnation);
                Some(Self::Title(Title { journal: id, boot, incarnation }))
            }
            2 => bare(Self::Started(attempt)),
            3 => {
                let outcome = wire::Outcome::decode(payload).ok()?;
                Some(Self::Ended(attempt, decode_outcome(Some(outcome))))
            }
            4 => bare(Self::Kept(attempt)),
            5 => bare(Self::Forgotten(attempt)),
            _ => None,
        }
    }
}

fn put_id(payload: &mut Vec<u8>, kind: u8, id: &AttemptId) {
    payload.put_u8(kind);
    payload.put_slice(id.as_uuid().as_bytes());
}

fn take_16(payload: &mut &[u8]) -> Option<[u8; 16]> {
    let (id, rest) = payload.split_first_chunk::<16>()?;
    *payload = rest;
    Some(*id)
}

/// How a file of records ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// With a whole record.
    Whole,
    /// Within a record: the process died while it wrote.
    Torn,
    /// With bytes that are there and wrong.
    Damaged,
}

/// What a file holds up to its end or the first thing that is no record.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) records: Vec<Record>,
    /// Bytes that the whole records take.
    pub(super) whole: usize,
    pub(super) tail: Tail,
}

pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut records = Vec::new();
    let mut whole = 0;
    let tail = loop {
        match next(&bytes[whole..]) {
            Next::Record(record, length) => {
                records.push(record);
                whole += length;
            }
            Next::End(tail) => break tail,
        }
    };
    Scan { records, whole, tail }
}

enum Next {
    Record(Record, usize),
    End(Tail),
}

fn next(bytes: &[u8]) -> Next {
    if bytes.is_empty() {
        return Next::End(Tail::Whole);
    }
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(four.try_into().expect("four bytes were taken")))
    };
    let (Some(length), Some(inverted)) = (number(0), number(4)) else {
        return Next::End(Tail::Torn);
    };
    if length != !inverted {
        return Next::End(Tail::Damaged);
    }
    let Some(crc) = number(8) else { return Next::End(Tail::Torn) };
    let end = HEAD.saturating_add(length as usize);
    let Some(payload) = bytes.get(HEAD..end) else { return Next::End(Tail::Torn) };
    match Record::read(payload) {
        Some(record) if crc32fast::hash(payload) == crc => Next::Record(record, end),
        Some(_) | None => Next::End(Tail::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shivneri_core::{Doubt, Failure, Receipt, SendError};

    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        (0..5_u8, any::<u128>(), "[a-z0-9-]{0,36}").prop_map(|(kind, id, text)| {
            let attempt = AttemptId::from_uuid(Uuid::from_u128(id));
            match kind {
                0 => Record::Title(Title {
                    journal: Uuid::from_u128(id),
                    boot: text,
                    incarnation: (id % 2 == 0).then(|| Uuid::from_u128(id | 1)),
                }),
                1 => Record::Started(attempt),
                2 if id % 2 == 0 => Record::Ended(attempt, Outcome::Accepted(Receipt::new(text))),
                2 => {
                    let doubt = Failure::InDoubt(Doubt::Strong);
                    Record::Ended(attempt, Outcome::Failed(SendError::new(doubt, text)))
                }
                3 => Record::Kept(attempt),
                _ => Record::Forgotten(attempt),
            }
        })
    }

    fn file_of(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for record in records {
            record.append_to(&mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn text(records: &[Record]) -> Vec<String> {
        records.iter().map(|record| format!("{record:?}")).collect()
    }

    proptest! {
        #[test]
        fn a_file_cut_anywhere_keeps_every_whole_record_and_nothing_else(
            records in prop::collection::vec(any_record(), 1..6),
        ) {
            let (bytes, ends) = file_of(&records);
            for cut in 0..=bytes.len() {
                let scan = scan(&bytes[..cut]);
                let whole = ends.iter().filter(|end| **end <= cut).count();
                prop_assert_eq!(text(&scan.records), text(&records[..whole]));
                prop_assert_eq!(scan.whole, if whole == 0 { 0 } else { ends[whole - 1] });
                let tail = if scan.whole == cut { Tail::Whole } else { Tail::Torn };
                prop_assert_eq!(scan.tail, tail);
            }
        }

        #[test]
        fn a_changed_byte_is_damage_and_never_another_record(
            records in prop::collection::vec(any_record(), 1..6),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let (mut bytes, ends) = file_of(&records);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let scan = scan(&bytes);
            let before = ends.iter().filter(|end| **end <= at).count();
            prop_assert_eq!(text(&scan.records), text(&records[..before]));
            prop_assert_eq!(scan.tail, Tail::Damaged);
        }

        #[test]
        fn no_bytes_make_the_scan_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(scan(&bytes).whole <= bytes.len());
        }
    }
}
