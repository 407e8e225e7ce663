//! Idempotency keys: one table an hour, dropped whole, so that random keys never make a full
//! queue slow; and for each hour the keys' hashes in memory, so that a new key need not be looked
//! for in every table.

use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, OptionalExtension, params};
use shivneri_core::MessageId;
use uuid::Uuid;

use super::codes;
use crate::{
    Idempotency, Status,
    model::queue::{from_micros, micros},
};

/// How long a key counts.
pub(super) const LIFE: Duration = Duration::from_secs(86_400);
const HOUR: i64 = 3_600_000_000;

/// What is known of the keys' tables.
#[derive(Debug, Default)]
pub(super) struct Keys {
    hours: BTreeMap<i64, Filter>,
}

#[derive(Debug, Default)]
struct Filter {
    /// Whether `hashes` has every key of the table.
    complete: bool,
    hashes: HashSet<u64>,
}

/// An earlier request with the same key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) fingerprint: [u8; 32],
    pub(super) message: MessageId,
    pub(super) status: Status,
}

impl Keys {
    /// Finds the tables that are there; what is in them is [learned](Self::learn) later.
    pub(super) fn open(conn: &Connection) -> rusqlite::Result<Self> {
        let mut statement = conn.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'keys_*'",
        )?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut hours = BTreeMap::new();
        for name in names {
            if let Some(hour) = name?.strip_prefix("keys_").and_then(|hour| hour.parse().ok()) {
                hours.insert(hour, Filter::default());
            }
        }
        Ok(Self { hours })
    }

    /// The hours whose tables have not been read.
    pub(super) fn unread(&self) -> Vec<i64> {
        self.hours.iter().filter(|(_, filter)| !filter.complete).map(|(hour, _)| *hour).collect()
    }

    /// Takes the hashes of all keys an hour's table had at some time since it was opened.
    pub(super) fn learn(&mut self, hour: i64, hashes: HashSet<u64>) {
        if let Some(filter) = self.hours.get_mut(&hour) {
            filter.hashes.extend(hashes);
            filter.complete = true;
        }
    }

    pub(super) fn find(
        &self,
        conn: &Connection,
        owner: &str,
        key: &str,
        now: SystemTime,
    ) -> rusqlite::Result<Option<Earlier>> {
        let hash = hash(owner, key);
        let since = micros(now) - micros(SystemTime::UNIX_EPOCH + LIFE);
        for (hour, filter) in self.hours.range(since.div_euclid(HOUR)..).rev() {
            if filter.complete && !filter.hashes.contains(&hash) {
                continue;
            }
            let sql = format!(
                "SELECT fingerprint, message, status, at FROM keys_{hour} \
                 WHERE owner = ?1 AND key = ?2"
            );
            let found = conn
                .prepare_cached(&sql)?
                .query_row(params![owner, key], |row| {
                    let message = MessageId::from_uuid(Uuid::from_bytes(row.get(1)?));
                    let status = codes::status(row.get(2)?)?;
                    Ok((Earlier { fingerprint: row.get(0)?, message, status }, row.get(3)?))
                })
                .optional()?;
            if let Some((earlier, at)) = found
                && from_micros(at) + LIFE > now
            {
                return Ok(Some(earlier));
            }
        }
        Ok(None)
    }

    pub(super) fn insert(
        &mut self,
        conn: &Connection,
        owner: &str,
        idempotency: &Idempotency,
        message: MessageId,
        status: Status,
        at: SystemTime,
    ) -> rusqlite::Result<()> {
        let hour = micros(at).div_euclid(HOUR);
        let filter = match self.hours.entry(hour) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                conn.execute_batch(&format!(
                    "CREATE TABLE IF NOT EXISTS keys_{hour} (
                       owner TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL,
                       message BLOB NOT NULL, status INTEGER NOT NULL, at INTEGER NOT NULL,
                       PRIMARY KEY (owner, key)) STRICT, WITHOUT ROWID"
                ))?;
                entry.insert(Filter { complete: true, hashes: HashSet::new() })
            }
        };
        // A key whose day is over, in the hour where its day began, may stand in its own way.
        let sql = format!(
            "INSERT OR REPLACE INTO keys_{hour} (owner, key, fingerprint, message, status, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        );
        conn.prepare_cached(&sql)?.execute(params![
            owner,
            idempotency.key,
            idempotency.fingerprint,
            message.as_uuid().as_bytes(),
            codes::of_status(status),
            micros(at),
        ])?;
        filter.hashes.insert(hash(owner, &idempotency.key));
        Ok(())
    }

    /// Drops the tables of hours in which no key counts any more.
    pub(super) fn drop_old(&mut self, conn: &Connection, now: SystemTime) -> rusqlite::Result<()> {
        let first = (micros(now) - micros(SystemTime::UNIX_EPOCH + LIFE)).div_euclid(HOUR);
        while let Some((hour, _)) = self.hours.first_key_value() {
            let hour = *hour;
            if hour >= first {
                break;
            }
            conn.execute_batch(&format!("DROP TABLE IF EXISTS keys_{hour}"))?;
            self.hours.remove(&hour);
        }
        Ok(())
    }
}

/// The hashes of all keys in an hour's table.
pub(super) fn read_hashes(conn: &Connection, hour: i64) -> rusqlite::Result<HashSet<u64>> {
    let mut statement = conn.prepare(&format!("SELECT owner, key FROM keys_{hour}"))?;
    let mut rows = statement.query([])?;
    let mut hashes = HashSet::new();
    while let Some(row) = rows.next()? {
        hashes.insert(hash(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?));
    }
    Ok(hashes)
}

fn hash(owner: &str, key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (owner, key).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str) -> Idempotency {
        Idempotency { key: key.to_owned(), fingerprint: [7; 32] }
    }

    #[test]
    fn a_key_counts_for_a_day_and_its_table_goes_after() {
        let conn = Connection::open_in_memory().unwrap();
        let mut keys = Keys::open(&conn).unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let id = MessageId::new();
        keys.insert(&conn, "shop", &entry("a"), id, Status::Queued, start).unwrap();
        let find = |keys: &Keys, owner, after| {
            keys.find(&conn, owner, "a", start + Duration::from_secs(after)).unwrap()
        };
        assert_eq!(find(&keys, "shop", 86_399).map(|earlier| earlier.message), Some(id));
        assert_eq!(find(&keys, "shop", 86_400), None);
        assert_eq!(find(&keys, "other", 0), None);
        keys.drop_old(&conn, start + Duration::from_secs(86_400)).unwrap();
        assert_eq!(keys.hours.len(), 1, "the hour is not over for keys that came later in it");
        keys.drop_old(&conn, start + Duration::from_secs(90_000)).unwrap();
        assert!(keys.hours.is_empty() && Keys::open(&conn).unwrap().hours.is_empty());
    }

    #[test]
    fn a_table_from_before_is_looked_into_until_its_keys_are_known() {
        let conn = Connection::open_in_memory().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut before = Keys::open(&conn).unwrap();
        before.insert(&conn, "o", &entry("a"), MessageId::new(), Status::Queued, now).unwrap();
        let mut keys = Keys::open(&conn).unwrap();
        let hours = keys.unread();
        assert!(keys.find(&conn, "o", "a", now).unwrap().is_some());
        for hour in hours {
            keys.learn(hour, read_hashes(&conn, hour).unwrap());
        }
        assert!(keys.unread().is_empty());
        assert!(keys.find(&conn, "o", "a", now).unwrap().is_some());
        assert!(keys.find(&conn, "o", "b", now).unwrap().is_none());
    }
}
