-- A lease may also be for a host that reboots. A check cannot be changed, so the table is made again with its rows.

CREATE TABLE lease_of_any_kind (
    group_id   TEXT NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL CHECK (token >= 0),
    state      TEXT NOT NULL CHECK (state IN ('free', 'held', 'suspect')),
    holder     TEXT,
    kind       TEXT CHECK (kind IN ('agent', 'service', 'host')),
    subject    TEXT,
    granted_at TEXT,
    renewed_at TEXT,
    expires_at TEXT,
    progress   TEXT, -- JSON of rules.lease.Progress
    last_end   TEXT, -- JSON of rules.lease.End
    CHECK ((state = 'free') = (holder IS NULL))
) WITHOUT ROWID;

INSERT INTO lease_of_any_kind (group_id, token, state, holder, kind, subject, granted_at, renewed_at, expires_at, progress, last_end)
SELECT group_id, token, state, holder, kind, subject, granted_at, renewed_at, expires_at, progress, last_end FROM lease;
DROP TABLE lease;
ALTER TABLE lease_of_any_kind RENAME TO lease;

CREATE TRIGGER lease_token_never_goes_back BEFORE UPDATE OF token ON lease WHEN new.token < old.token
BEGIN
    SELECT RAISE(ABORT, 'the token of a lease never goes back');
END;

CREATE TRIGGER lease_is_kept_for_ever BEFORE DELETE ON lease
BEGIN
    SELECT RAISE(ABORT, 'a lease is kept for ever, so that its token never goes back');
END;
