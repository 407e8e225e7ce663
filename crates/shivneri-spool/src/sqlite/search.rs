//! Search: newest first, with a bound on how many messages one page may pass over.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use shivneri_core::MessageId;

use super::{Shared, codes, damaged, rows, rows::MessageRow};
use crate::{
    Cursor, Page, Search, Status, Summary,
    model::queue::{PART_BITS, key_of, micros},
};

/// What one page may cost, in messages passed over by their own row alone.
const COST: usize = 100_000;
/// What it costs to look at a message's deliveries as well.
const COST_OF_PARTS: usize = 6;
/// Rows asked for at once where an index names them.
const CHUNK: usize = 512;
/// Rows lie in the order of acceptance, but for clocks that were set back meanwhile.
const SKEW: Duration = Duration::from_secs(3600);

impl Shared {
    pub(super) fn search(
        &self,
        conn: &Connection,
        search: &Search,
        now: SystemTime,
    ) -> rusqlite::Result<Page> {
        if let Some(id) = search.q.as_ref().and_then(|q| q.trim().parse::<MessageId>().ok()) {
            let message = damaged::message(conn, id)?;
            let messages = match message {
                Some(message) => self.matching(conn, &message, search, now)?.into_iter().collect(),
                None => Vec::new(),
            };
            return Ok(Page { messages, next: None });
        }
        match search.status {
            Some(status) if is_indexed(status) => self.by_status(conn, search, status, now),
            Some(_) | None => self.by_age(conn, search, now),
        }
    }

    /// Walks the messages themselves.
    fn by_age(
        &self,
        conn: &Connection,
        search: &Search,
        now: SystemTime,
    ) -> rusqlite::Result<Page> {
        let sql = format!(
            "SELECT {} FROM messages m WHERE m.row < ?1 ORDER BY m.row DESC",
            rows::MESSAGE
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let mut found = statement.query([search.cursor.map_or(i64::MAX, |cursor| cursor.0)])?;
        let filter = Filter::new(search);
        let mut page = Page { messages: Vec::new(), next: None };
        let mut cost = 0;
        while let Some(row) = found.next()? {
            cost += 1;
            let at: i64 = row.get(11)?;
            if filter.floor.is_some_and(|floor| at < floor) {
                return Ok(page);
            }
            if filter.admits(row)? {
                cost += COST_OF_PARTS;
                let message = damaged::read_message(row)?;
                if let Some(summary) = self.matching(conn, &message, search, now)? {
                    page.messages.push(summary);
                }
            }
            if page.messages.len() == search.page_size() || cost >= COST {
                page.next = Some(Cursor(row.get(0)?));
                break;
            }
        }
        // A full page at the very end has no next one.
        if found.next()?.is_none() {
            page.next = None;
        }
        Ok(page)
    }

    /// Walks an index that names the few messages of a status.
    fn by_status(
        &self,
        conn: &Connection,
        search: &Search,
        status: Status,
        now: SystemTime,
    ) -> rusqlite::Result<Page> {
        let filter = Filter::new(search);
        let mut before = search.cursor.map_or(i64::MAX >> PART_BITS, |cursor| cursor.0);
        let mut page = Page { messages: Vec::new(), next: None };
        let mut cost = 0;
        loop {
            let named = self.named_by_status(conn, status, before)?;
            if named.is_empty() {
                return Ok(page);
            }
            for row in named {
                if page.messages.len() == search.page_size() || cost >= COST {
                    page.next = Some(Cursor(before));
                    return Ok(page);
                }
                before = row;
                cost += COST_OF_PARTS;
                let Some(message) = damaged::message_at(conn, row)? else { continue };
                if filter.floor.is_some_and(|floor| micros(message.accepted_at) < floor) {
                    return Ok(page);
                }
                if filter.admits_message(&message) {
                    page.messages.extend(self.matching(conn, &message, search, now)?);
                }
            }
        }
    }

    /// Messages with a part of this status, newest first, each once.
    fn named_by_status(
        &self,
        conn: &Connection,
        status: Status,
        before: i64,
    ) -> rusqlite::Result<Vec<i64>> {
        let key = key_of(before, 0);
        let mut named: Vec<i64> = Vec::new();
        if status.is_final() {
            const SQL: &str = "SELECT key FROM deliveries INDEXED BY deliveries_failed \
                 WHERE state > 11 AND state = ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3";
            let mut statement = conn.prepare_cached(SQL)?;
            let keys = statement
                .query_map(params![codes::of_status(status), key, CHUNK as i64], |row| {
                    row.get(0)
                })?;
            for key in keys {
                named.push(key?);
            }
        } else {
            const SQL: &str = "SELECT key FROM deliveries INDEXED BY deliveries_unfinished \
                 WHERE state < 10 AND lane = ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3";
            let mut statement = conn.prepare_cached(SQL)?;
            for lane in self.lanes.names.keys() {
                let keys =
                    statement.query_map(params![lane, key, CHUNK as i64], |row| row.get(0))?;
                for key in keys {
                    named.push(key?);
                }
            }
            // Beyond the shortest full list another lane may have newer ones.
            named.sort_unstable_by(|one, two| two.cmp(one));
            named.truncate(CHUNK);
        }
        for key in &mut named {
            *key >>= PART_BITS;
        }
        named.dedup();
        Ok(named)
    }

    /// The summary, where status and provider fit too. A message of which nothing can be shown is
    /// passed over, so that it hides no other.
    fn matching(
        &self,
        conn: &Connection,
        message: &MessageRow,
        search: &Search,
        now: SystemTime,
    ) -> rusqlite::Result<Option<Summary>> {
        match self.try_matching(conn, message, search, now) {
            Err(error) if codes::is_damage(&error) => {
                tracing::warn!(message = %message.id, %error, "a message's record is damaged");
                Ok(None)
            }
            other => other,
        }
    }

    fn try_matching(
        &self,
        conn: &Connection,
        message: &MessageRow,
        search: &Search,
        now: SystemTime,
    ) -> rusqlite::Result<Option<Summary>> {
        if let Some(provider) = &search.provider {
            const SQL: &str = "SELECT EXISTS (SELECT 1 FROM attempts \
                 WHERE delivery BETWEEN ?1 AND ?2 AND provider = ?3)";
            let (first, last) = (key_of(message.row, 0), key_of(message.row + 1, 0) - 1);
            let tried: bool = conn
                .prepare_cached(SQL)?
                .query_row(params![first, last, provider.as_str()], |row| row.get(0))?;
            if !tried {
                return Ok(None);
            }
        }
        let parts = damaged::parts(conn, message)?;
        let summary = self.summary(message, &parts, now)?;
        let fits = search.status.is_none_or(|status| status == summary.status);
        Ok(fits.then_some(summary))
    }
}

/// Whether an index names the messages of this status. Bounced and complained may be marks of
/// single recipients, which no index names.
fn is_indexed(status: Status) -> bool {
    match status {
        Status::Scheduled
        | Status::Queued
        | Status::Sending
        | Status::Cancelled
        | Status::Suppressed
        | Status::Expired
        | Status::Rejected
        | Status::InDoubt
        | Status::Damaged => true,
        Status::Accepted | Status::Delivered | Status::Bounced | Status::Complained => false,
    }
}

/// What a message's own row tells about whether it is looked for.
struct Filter {
    since: Option<i64>,
    until: Option<i64>,
    /// Below it nothing is looked for any more.
    floor: Option<i64>,
    recipient: Option<String>,
    tag: Option<String>,
    q: Option<String>,
}

impl Filter {
    fn new(search: &Search) -> Self {
        let since = search.since.map(micros);
        Self {
            since,
            until: search.until.map(micros),
            floor: since.map(|since| since - micros(SystemTime::UNIX_EPOCH + SKEW)),
            recipient: search.recipient.as_ref().map(|one| one.trim().to_lowercase()),
            tag: search.tag.clone(),
            q: search.q.as_ref().map(|q| q.trim().to_lowercase()),
        }
    }

    /// Without taking the whole row out, which most rows are not worth.
    fn admits(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<bool> {
        let text = |at| damaged::text(row, at);
        Ok(self.fits(row.get(11)?, &text(5)?, &text(6)?, &text(7)?, &text(8)?))
    }

    fn admits_message(&self, message: &MessageRow) -> bool {
        let MessageRow { sender, recipients, subject, tags, .. } = message;
        self.fits(micros(message.accepted_at), sender, recipients, subject, tags)
    }

    fn fits(&self, at: i64, sender: &str, recipients: &str, subject: &str, tags: &str) -> bool {
        if self.since.is_some_and(|since| at < since) || self.until.is_some_and(|until| at >= until)
        {
            return false;
        }
        if self.tag.as_ref().is_some_and(|tag| !codes::lines(tags).any(|one| one == tag)) {
            return false;
        }
        if let Some(recipient) = &self.recipient
            && !codes::lines(recipients).any(|one| one.to_lowercase() == *recipient)
        {
            return false;
        }
        self.q.as_ref().is_none_or(|q| {
            [sender, recipients, subject].iter().any(|text| text.to_lowercase().contains(q))
        })
    }
}
