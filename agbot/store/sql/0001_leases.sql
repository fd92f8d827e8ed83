-- The lease store, first schema. A file that has been released is never edited: a change is a new file with the next number.
-- Ids are qualified, org/name. Times are UTC text with microseconds, 2026-01-02T03:04:05.000006Z, so that they sort as they read.

CREATE TABLE lease (
    group_id   TEXT NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL CHECK (token >= 0),
    state      TEXT NOT NULL CHECK (state IN ('free', 'held', 'suspect')),
    holder     TEXT,
    kind       TEXT CHECK (kind IN ('agent', 'service')),
    subject    TEXT,
    granted_at TEXT,
    renewed_at TEXT,
    expires_at TEXT,
    progress   TEXT, -- JSON of rules.lease.Progress
    last_end   TEXT, -- JSON of rules.lease.End
    CHECK ((state = 'free') = (holder IS NULL))
) WITHOUT ROWID;

CREATE TRIGGER lease_token_never_goes_back BEFORE UPDATE OF token ON lease WHEN new.token < old.token
BEGIN
    SELECT RAISE(ABORT, 'the token of a lease never goes back');
END;

CREATE TRIGGER lease_is_kept_for_ever BEFORE DELETE ON lease
BEGIN
    SELECT RAISE(ABORT, 'a lease is kept for ever, so that its token never goes back');
END;

CREATE TABLE brake (
    group_id TEXT NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    revision TEXT NOT NULL,
    since    TEXT NOT NULL,
    cause    TEXT NOT NULL,
    node_id  TEXT NOT NULL,
    token    INTEGER NOT NULL,
    PRIMARY KEY (group_id, kind, subject)
) WITHOUT ROWID;

CREATE TABLE deferral (
    group_id TEXT NOT NULL,
    node_id  TEXT NOT NULL,
    subject  TEXT NOT NULL,
    since    TEXT NOT NULL,
    status   TEXT NOT NULL,
    PRIMARY KEY (group_id, node_id)
) WITHOUT ROWID;

CREATE TABLE pause (
    scope   TEXT NOT NULL PRIMARY KEY, -- * or org or org/group
    since   TEXT NOT NULL,
    made_by TEXT NOT NULL,
    why     TEXT NOT NULL,
    until   TEXT
) WITHOUT ROWID;

CREATE TABLE served (
    group_id TEXT NOT NULL,
    node_id  TEXT NOT NULL,
    until    TEXT NOT NULL,
    cause    TEXT NOT NULL,
    PRIMARY KEY (group_id, node_id)
) WITHOUT ROWID;

CREATE TABLE waiter (
    group_id        TEXT NOT NULL,
    node_id         TEXT NOT NULL,
    kind            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    agreement_bound INTEGER NOT NULL,
    since           TEXT NOT NULL,
    asked_at        TEXT NOT NULL,
    reasons         TEXT NOT NULL, -- JSON list of rules.reasons.Reason
    PRIMARY KEY (group_id, node_id, kind, subject)
) WITHOUT ROWID;

CREATE TABLE journal (
    id       INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, not even after a prune
    at       TEXT NOT NULL,
    event    TEXT NOT NULL,
    group_id TEXT,
    node_id  TEXT,
    subject  TEXT,
    token    INTEGER,
    who      TEXT NOT NULL,
    facts    TEXT NOT NULL -- JSON object
);

CREATE INDEX journal_by_group ON journal (group_id, id);
CREATE INDEX journal_by_node ON journal (node_id, id);
