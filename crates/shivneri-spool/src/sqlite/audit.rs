//! The audit: every message is counted one by one, and what can't be read is set aside.

use std::{collections::HashSet, time::SystemTime};

use rusqlite::{Connection, Row};

use super::{Shared, Sqlite, aside::Bad, codes, tally::read_meta};
use crate::{
    Audit, SpoolError, Status,
    model::queue::{PART_BITS, from_micros},
};

/// What [`shown`] reads.
const ROWS: &str = "SELECT d.key, d.state, d.due, d.doubts, d.marks, d.lane FROM deliveries d \
     JOIN messages m ON m.row = d.key >> 12";

/// What one look at every delivery has found.
#[derive(Default)]
struct Counted {
    audit: Audit,
    /// Unfinished deliveries that the queue does not know.
    suspects: Vec<i64>,
    damaged: Vec<Bad>,
}

impl Sqlite {
    pub(super) async fn count_all(&self) -> Result<Audit, SpoolError> {
        let counted = self.read(|shared, conn| shared.count_all(conn, shared.clock.now()));
        let Counted { mut audit, suspects, damaged } = counted.await?;
        self.lay_aside(damaged).await?;
        if !suspects.is_empty() {
            // They may only have moved while they were counted: the writer knows.
            audit.stranded = self.commit(move |ledger| ledger.stranded(&suspects)).await?;
        }
        Ok(audit)
    }
}

impl Shared {
    fn count_all(&self, conn: &Connection, now: SystemTime) -> rusqlite::Result<Counted> {
        let mut counted = Counted::default();
        let meta = |name| read_meta(conn, name).map(|value| value.unwrap_or_default() as u64);
        counted.audit.accepted = meta("accepted")?;
        counted.audit.purged = meta("purged")?;
        let (known, open) = {
            let queue = self.queue();
            let open: HashSet<i64> = queue.all_open().map(|(key, _)| key).collect();
            (queue.keys(), open)
        };
        let mut statement = conn.prepare(&format!("{ROWS} ORDER BY d.key"))?;
        let mut found = statement.query([])?;
        let mut present: Option<(i64, Status)> = None;
        while let Some(row) = found.next()? {
            let key: i64 = row.get(0)?;
            let status = match shown(row, open.contains(&key), now) {
                Ok(status) => {
                    if !status.is_final() && !known.contains(&key) {
                        counted.suspects.push(key);
                    }
                    status
                }
                // Its lease knows better, and writes the row anew.
                Err(error) if codes::is_damage(&error) && open.contains(&key) => Status::Sending,
                Err(error) if codes::is_damage(&error) => {
                    let lane = row.get(5).ok().and_then(|lane| self.lanes.index(lane));
                    counted.damaged.push(Bad { lane, key, reason: error.to_string() });
                    Status::Damaged
                }
                Err(error) => return Err(error),
            };
            let message = key >> PART_BITS;
            present = match present {
                Some((same, before)) if same == message => {
                    Some((message, Status::of([before, status]).unwrap_or(status)))
                }
                Some((_, done)) => {
                    *counted.audit.states.entry(done).or_default() += 1;
                    Some((message, status))
                }
                None => Some((message, status)),
            };
        }
        if let Some((_, done)) = present {
            *counted.audit.states.entry(done).or_default() += 1;
        }
        Ok(counted)
    }
}

/// Those of these deliveries that can be read.
pub(super) fn sound(
    conn: &Connection,
    keys: &[i64],
    now: SystemTime,
) -> rusqlite::Result<HashSet<i64>> {
    let mut statement = conn.prepare_cached(&format!("{ROWS} WHERE d.key = ?1"))?;
    let mut sound = HashSet::new();
    for key in keys {
        match statement.query_row([key], |row| shown(row, false, now)) {
            Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => {
                sound.insert(*key);
            }
            Err(error) if codes::is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sound)
}

fn shown(row: &Row<'_>, open: bool, now: SystemTime) -> rusqlite::Result<Status> {
    let state = codes::status(row.get(1)?)?;
    if state.is_final() {
        let marks: Option<String> = row.get(4)?;
        // A mark that can't be read loses its say, not its message.
        let marks = marks.and_then(|marks| codes::marks(&marks).ok()).unwrap_or_default();
        let marks = marks.into_iter().map(|(_, status)| status);
        return Ok(Status::of(marks.chain([state])).unwrap_or(state));
    }
    let doubts: i64 = row.get(3)?;
    let due = from_micros(row.get(2)?);
    Ok(if open || doubts > 0 {
        Status::Sending
    } else if state == Status::Scheduled && due > now {
        Status::Scheduled
    } else {
        Status::Queued
    })
}
