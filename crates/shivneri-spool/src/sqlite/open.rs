//! Opening: lock, schema, what the owner before left behind, and the queue in memory.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use rusqlite::Connection;
use shivneri_core::{AttemptId, Lane, Outcome, Transition, decision};
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

use super::{
    BACKLOG, Options, Sqlite, codes,
    keys::{self, Keys},
    ledger::{Ledger, Trouble},
    lock::{DirectoryLock, trouble},
    rows::{self, Unsettled},
    schema,
    shared::{Lanes, Shared},
    sweep::Sweep,
    tally::{Tally, read_meta, write_meta},
    writer::{self, Job, Writer},
};
use crate::{
    Commits, OpenError, SpoolState, Status,
    model::{
        End, Queue,
        queue::{PART_BITS, from_micros},
        tries::interrupted,
    },
};

/// Set in a copy, so that who opens it knows that time has passed without it.
pub(super) const RESTORED: &str = "restored";

impl Sqlite {
    /// Opens the spool in this file, making it and its directory where they are missing.
    ///
    /// Attempts that were open when the owner before stopped are in doubt from now on. All of the
    /// unfinished mail in a restored [backup](crate::Spool::backup) is in doubt until it is
    /// requeued: what became of it since is not known here.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: another process owns the directory, the schema is newer, a lane with queued
    /// mail is missing, or the file can't be used.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Arc<Self>, OpenError> {
        let path = path.as_ref();
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let lock = DirectoryLock::take(directory)?;
        let conn = schema::open_writer(path)?;
        let sql = |what| move |error| trouble(path, what, error);
        let Prepared { lanes, epoch, incarnation } =
            prepare(&conn, options.lanes).map_err(sql("could not take over the database"))?;
        let tally = Tally::load(&conn).map_err(sql("could not read the counters"))?;
        let keys = Keys::open(&conn).map_err(sql("could not read the idempotency keys"))?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            directory: directory.to_owned(),
            min_free_disk: options.min_free_disk,
            queue: Mutex::new(Queue::new(lanes.rules.iter().map(Arc::as_ref))),
            lanes,
            epoch,
            incarnation,
            clock: options.clock,
            earlier: Notify::new(),
            state: Mutex::new(SpoolState::Open),
            full: Mutex::new(None),
            commits: Mutex::new(Commits::default()),
            last_event: watch::Sender::new(tally.events),
            tally: Mutex::new(tally.clone()),
            readers: Mutex::new(Vec::new()),
        });
        let (send, jobs) = mpsc::channel(BACKLOG);
        let mut writer = Writer { conn, shared: Arc::clone(&shared), tally, keys, jobs, lock };
        recover(&mut writer).map_err(|error| match error {
            Trouble::Sql(error) => trouble(path, "could not recover what was under way", error),
            Trouble::Refused(error) => trouble(path, "could not recover what was under way", error),
        })?;
        fill(&writer.conn, &shared)?;
        shared.look_at_disk();
        let unread = writer.keys.unread();
        let mut threads = Vec::new();
        if !unread.is_empty() {
            let (shared, jobs) = (Arc::clone(&shared), send.downgrade());
            let learn = move || learn_keys(&shared, &jobs, &unread);
            threads.push(spawn(path, "spool-keys", learn)?);
        }
        threads.push(spawn(path, "spool-writer", move || writer.run())?);
        Ok(Arc::new(Self {
            shared,
            max_messages: options.max_messages,
            jobs: Mutex::new(Some(send)),
            threads: Mutex::new(threads),
            sweep: Arc::new(Mutex::new(Sweep::default())),
        }))
    }
}

fn spawn(
    path: &Path,
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| trouble(path, "could not start a thread", error))
}

struct Prepared {
    lanes: Lanes,
    epoch: u64,
    incarnation: Uuid,
}

/// Counts the epoch on, names what has no name, and numbers the lanes.
fn prepare(conn: &Connection, rules: Vec<Lane>) -> rusqlite::Result<Prepared> {
    let transaction = conn.unchecked_transaction()?;
    let epoch = read_meta(conn, "epoch")?.unwrap_or_default() + 1;
    write_meta(conn, "epoch", epoch)?;
    let named = (read_meta(conn, "name_high")?, read_meta(conn, "name_low")?);
    let incarnation = match (named, read_meta(conn, RESTORED)?.unwrap_or_default()) {
        ((Some(high), Some(low)), 0) => Uuid::from_u64_pair(high as u64, low as u64),
        _ => {
            let new = Uuid::new_v4();
            let (high, low) = new.as_u64_pair();
            write_meta(conn, "name_high", high as i64)?;
            write_meta(conn, "name_low", low as i64)?;
            new
        }
    };
    for lane in &rules {
        conn.execute("INSERT OR IGNORE INTO lanes (name) VALUES (?1)", [lane.name.as_str()])?;
    }
    let mut names = BTreeMap::new();
    let mut statement = conn.prepare("SELECT id, name FROM lanes")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        names.insert(row.get(0)?, super::codes::parsed(row.get_ref(1)?.as_str()?)?);
    }
    drop(found);
    drop(statement);
    transaction.commit()?;
    let mut ids = Vec::new();
    for lane in &rules {
        let id = names.iter().find(|(_, name)| **name == lane.name).map(|(id, _)| *id);
        ids.push(id.ok_or(rusqlite::Error::QueryReturnedNoRows)?);
    }
    let rules = rules.into_iter().map(Arc::new).collect();
    Ok(Prepared { lanes: Lanes { rules, ids, names }, epoch: epoch as u64, incarnation })
}

/// Closes in doubt what the owner before left open.
fn recover(writer: &mut Writer) -> Result<(), Trouble> {
    let shared = Arc::clone(&writer.shared);
    let before = writer.tally.clone();
    let transaction = writer.conn.unchecked_transaction()?;
    let mut ledger = Ledger {
        conn: &writer.conn,
        shared: &shared,
        tally: &mut writer.tally,
        keys: &mut writer.keys,
        due: Vec::new(),
    };
    let now = shared.clock.now();
    for Left { which, id, lane } in open_attempts(ledger.conn)? {
        let wait = shared.lanes.index(lane).map(|lane| shared.lanes.rules[lane].doubt_wait);
        let wait = decision::ask_later(wait.unwrap_or_default(), now);
        match id {
            Some(id) => {
                ledger.amend(id, &interrupted(), &wait, now)?;
                tracing::warn!(attempt = %id, "an attempt was open when the spool was left; it is in doubt");
            }
            None => {
                let end = End::of(&interrupted(), now);
                ledger.end_damaged(None, which, &end, "its attempt has no id", now)?;
            }
        }
    }
    if read_meta(ledger.conn, RESTORED)?.unwrap_or_default() != 0 {
        hold_restored(&mut ledger, now)?;
        write_meta(ledger.conn, RESTORED, 0)?;
    }
    writer.tally.store(&before, &writer.conn)?;
    #[cfg(feature = "failpoints")]
    shivneri_failpoint::hit("recover.decided");
    transaction.commit()?;
    shared.committed(&writer.tally, &before, Vec::new());
    Ok(())
}

/// An attempt that the owner before left open.
struct Left {
    which: Unsettled,
    /// Absent where it can't be read.
    id: Option<AttemptId>,
    lane: i64,
}

fn open_attempts(conn: &Connection) -> rusqlite::Result<Vec<Left>> {
    conn.prepare(
        "SELECT a.delivery, a.number, a.id, d.lane FROM attempts a \
         JOIN deliveries d ON d.key = a.delivery \
         WHERE a.unsettled > 0 AND a.ended_at IS NULL",
    )?
    .query_map([], |row| {
        let id: Vec<u8> = row.get(2)?;
        Ok(Left {
            which: Unsettled { key: row.get(0)?, number: row.get(1)?, is_open: true },
            id: Uuid::from_slice(&id).ok().map(AttemptId::from_uuid),
            lane: row.get(3)?,
        })
    })?
    .collect()
}

/// Ends all unfinished mail of a restored copy in doubt.
fn hold_restored(ledger: &mut Ledger<'_>, now: SystemTime) -> Result<(), Trouble> {
    let keys: Vec<i64> = ledger
        .conn
        .prepare("SELECT key FROM deliveries WHERE state < 10 ORDER BY key")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let reason = "the spool was restored from a backup; what was sent since is not known";
    for of_one in keys.chunk_by(|one, next| one >> PART_BITS == next >> PART_BITS) {
        let message = match rows::message_at(ledger.conn, of_one[0] >> PART_BITS) {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(error) if codes::is_damage(&error) => {
                for key in of_one {
                    tracing::error!(key, %error, "a message's record is damaged and set aside");
                    ledger.set_aside(*key, &error.to_string(), now)?;
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let before = ledger.parts_of(&message, now)?;
        let mut after = before.clone();
        for part in after.iter_mut().filter(|part| !part.state.is_final()) {
            part.doubts = part.doubts.max(1);
            let transition = Transition::InDoubt { reason: reason.to_owned() };
            part.apply(None::<&Outcome>, &transition, 0, now);
            debug_assert_eq!(part.state, Status::InDoubt);
        }
        ledger.rewrite(&message, &before, &after, now)?;
    }
    Ok(())
}

/// Builds the queue in memory.
fn fill(conn: &Connection, shared: &Shared) -> Result<(), OpenError> {
    let sql = |error| trouble(&shared.path, "could not read the queue", error);
    let mut statement = conn
        .prepare("SELECT lane, key, due FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 10")
        .map_err(sql)?;
    let mut found = statement.query([]).map_err(sql)?;
    let mut queue = shared.queue();
    while let Some(row) = found.next().map_err(sql)? {
        let id = row.get(0).map_err(sql)?;
        let Some(lane) = shared.lanes.index(id) else {
            let lane = shared.lanes.names.get(&id).map(ToString::to_string);
            return Err(OpenError::MissingLane { lane: lane.unwrap_or_default() });
        };
        let due = from_micros(row.get(2).map_err(sql)?);
        queue.push(lane, due, row.get(1).map_err(sql)?);
    }
    Ok(())
}

/// Reads the keys of earlier hours, so that new ones need no longer be looked for there.
fn learn_keys(shared: &Shared, jobs: &mpsc::WeakSender<Job>, unread: &[i64]) {
    for hour in unread {
        let hour = *hour;
        let Ok(hashes) = shared.read(|conn| keys::read_hashes(conn, hour)) else {
            // Dropped meanwhile, or unreadable: then its table goes on being asked itself.
            continue;
        };
        let Some(jobs) = jobs.upgrade() else { return };
        let (job, _) = writer::job(move |ledger| {
            ledger.keys.learn(hour, hashes);
            Ok(())
        });
        if jobs.blocking_send(job).is_err() {
            return;
        }
    }
}
