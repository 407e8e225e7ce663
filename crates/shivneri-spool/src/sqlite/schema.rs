//! The database's shape and how a connection is set up.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::lock::trouble;
use crate::OpenError;

/// Each brings the schema from the version of its index to the next. Never changed once released.
const STEPS: [&str; 2] = [
    include_str!("schema.sql"),
    // Until when evidence about a doubt is asked for, and doubts that a person has overruled; until
    // when an attempt's key lives, the attempt that first made its request (its own number where that is
    // absent), and whether it only repeats it.
    "ALTER TABLE deliveries ADD COLUMN asking INTEGER;
     ALTER TABLE deliveries ADD COLUMN overruled INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE attempts ADD COLUMN key_until INTEGER;
     ALTER TABLE attempts ADD COLUMN request INTEGER;
     ALTER TABLE attempts ADD COLUMN repetition INTEGER NOT NULL DEFAULT 0",
];

/// The writing connection, on the newest schema.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let sql = |what| move |error| trouble(path, what, error);
    let conn = Connection::open(path).map_err(sql("could not open the database"))?;
    conn.set_prepared_statement_cache_capacity(128);
    // Who looks into the file with another program holds it up, and must not end it.
    conn.busy_timeout(Duration::from_secs(30)).map_err(sql("could not set up the database"))?;
    // Pages of 8 KiB hold three messages of the usual size, those of 4 KiB one. The WAL is
    // checkpointed at 16 MiB: a larger one only makes the slowest commits slower.
    conn.execute_batch(
        "PRAGMA page_size = 8192;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 2000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536;",
    )
    .map_err(sql("could not set up the database"))?;
    migrate(&conn, path)?;
    Ok(conn)
}

/// A reading connection.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch("PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;")?;
    Ok(conn)
}

fn migrate(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let sql = |what| move |error| trouble(path, what, error);
    let known = STEPS.len() as i64;
    let found: i64 = conn
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(sql("could not read the schema version"))?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    for (version, step) in (1..).zip(STEPS).skip(found.max(0) as usize) {
        let step = format!("BEGIN IMMEDIATE; {step}; PRAGMA user_version = {version}; COMMIT;");
        conn.execute_batch(&step).map_err(sql("could not bring the schema up to date"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open_writer(&dir.path().join("spool.db")).unwrap();
        let pragma = |name| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
        // 2 is FULL: in WAL mode it syncs the log before a commit returns, 1 (NORMAL) does not.
        assert_eq!(pragma("synchronous").map(|mode: i64| mode), Ok(2));
        let journal = conn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
        assert_eq!(journal, Ok("wal".to_owned()));
    }
}
