-- Version 1. Small rows that change are kept apart from large ones that don't: a message and its
-- body are written once, its deliveries move.

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE lanes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- Messages by lane and by the class in which they are counted.
CREATE TABLE counts (
  lane INTEGER NOT NULL, status INTEGER NOT NULL, messages INTEGER NOT NULL,
  PRIMARY KEY (lane, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  row INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  lane INTEGER NOT NULL,
  door TEXT NOT NULL,
  owner TEXT NOT NULL,
  sender TEXT NOT NULL,
  recipients TEXT NOT NULL,          -- one a line
  subject TEXT NOT NULL,
  tags TEXT NOT NULL,                -- one a line
  providers TEXT,                    -- one a line
  on_doubt INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,      -- microseconds since 1970, as all times
  send_at INTEGER
) STRICT;

CREATE TABLE bodies (message INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

-- key: the message's row shifted by 12 bits, and the part's number.
CREATE TABLE deliveries (
  key INTEGER PRIMARY KEY,
  id BLOB,                           -- absent: the message's id
  lane INTEGER NOT NULL,
  state INTEGER NOT NULL,            -- below 10: not finished
  due INTEGER NOT NULL,
  deadline INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  forgiven INTEGER NOT NULL,
  doubts INTEGER NOT NULL,
  resent INTEGER NOT NULL,
  recipients TEXT,                   -- absent: the message's
  marks TEXT,                        -- state and address, one a line
  dropped TEXT,
  reason TEXT,
  provider TEXT,
  changed_at INTEGER NOT NULL,
  trail BLOB                         -- the message's earlier events, kept with its first part
) STRICT;
CREATE INDEX deliveries_unfinished ON deliveries (lane, key, due, deadline) WHERE state < 10;
CREATE INDEX deliveries_deadline ON deliveries (deadline, lane) WHERE state < 10;
CREATE INDEX deliveries_scheduled ON deliveries (due, lane) WHERE state = 0;
CREATE INDEX deliveries_failed ON deliveries (state) WHERE state > 11;
CREATE INDEX deliveries_doubtful ON deliveries (lane) WHERE doubts > 0 AND state < 10;

CREATE TABLE attempts (
  delivery INTEGER NOT NULL,
  number INTEGER NOT NULL,
  id BLOB NOT NULL,
  provider TEXT NOT NULL,
  agent TEXT,
  generation INTEGER,
  journal BLOB,
  epoch INTEGER NOT NULL,
  reason TEXT NOT NULL,
  on_doubt INTEGER NOT NULL,
  possible_duplicate INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  timeout INTEGER NOT NULL,          -- microseconds
  unsettled INTEGER NOT NULL,        -- 1: open, 2: in doubt, 0: certain
  ended_at INTEGER,
  outcome TEXT,
  past INTEGER,
  detail TEXT,
  answer_status INTEGER,
  answer_text TEXT,
  provider_message_id TEXT,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_unsettled ON attempts (id) WHERE unsettled > 0;

-- The outbox: what changed, for readers that follow. Kept for a day.
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY,
  message INTEGER NOT NULL,
  status INTEGER NOT NULL,
  in_doubt INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;

CREATE TABLE generations (agent TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE shelves (
  shelf TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (shelf, key)
) STRICT, WITHOUT ROWID;
