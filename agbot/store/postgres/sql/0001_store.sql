-- The lease store on PostgreSQL, first schema: the tables and columns of the SQLite store's newest one. A file that has been released is
-- never edited: a change is a new file with the next number. The transaction that runs it has the store's schema as its search path.
-- Times are UTC text with microseconds, 2026-01-02T03:04:05.000006Z, so that they sort as they read, and `::timestamptz` reads them.
-- JSON is text, as it was written. In all texts U+0001 U+0001 stands for U+0000, which PostgreSQL does not take, and U+0001 U+0002 for U+0001.
-- COLLATE "C": texts are ordered and compared by code points, whatever the database's locale.

CREATE TABLE lease (
    group_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    token      BIGINT NOT NULL CHECK (token >= 0),
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('free', 'held', 'suspect')),
    holder     TEXT COLLATE "C",
    kind       TEXT COLLATE "C" CHECK (kind IN ('agent', 'service')),
    subject    TEXT COLLATE "C",
    granted_at TEXT COLLATE "C",
    renewed_at TEXT COLLATE "C",
    expires_at TEXT COLLATE "C",
    progress   TEXT, -- JSON of rules.lease.Progress
    last_end   TEXT, -- JSON of rules.lease.End
    CHECK ((state = 'free') = (holder IS NULL))
) WITH (fillfactor = 70); -- room for the next version of a row on its page

CREATE FUNCTION lease_never_goes_back() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'a lease is kept for ever, and its token never goes back' USING ERRCODE = 'integrity_constraint_violation';
END
$body$;

CREATE TRIGGER lease_token_never_goes_back BEFORE UPDATE OF token ON lease
    FOR EACH ROW WHEN (new.token < old.token) EXECUTE FUNCTION lease_never_goes_back();
CREATE TRIGGER lease_is_kept_for_ever BEFORE DELETE ON lease
    FOR EACH ROW EXECUTE FUNCTION lease_never_goes_back();

CREATE TABLE allowance (
    node_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL, -- empty: whichever comes next
    since   TEXT COLLATE "C" NOT NULL,
    until   TEXT COLLATE "C" NOT NULL,
    made_by TEXT NOT NULL,
    why     TEXT NOT NULL
);

CREATE TABLE approval (
    scope   TEXT COLLATE "C" NOT NULL, -- * or org or org/group
    kind    TEXT COLLATE "C" NOT NULL CHECK (kind IN ('agent', 'service')),
    subject TEXT COLLATE "C" NOT NULL,
    since   TEXT COLLATE "C" NOT NULL,
    made_by TEXT NOT NULL,
    why     TEXT NOT NULL,
    PRIMARY KEY (scope, kind, subject)
);

CREATE TABLE brake (
    group_id TEXT COLLATE "C" NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    subject  TEXT COLLATE "C" NOT NULL,
    revision TEXT NOT NULL,
    since    TEXT COLLATE "C" NOT NULL,
    cause    TEXT NOT NULL,
    node_id  TEXT COLLATE "C" NOT NULL,
    token    BIGINT NOT NULL,
    failed   TEXT NOT NULL, -- JSON list of rules.versions.Versions
    PRIMARY KEY (group_id, kind, subject)
);

CREATE TABLE contact (
    node_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    asked_at    TEXT COLLATE "C", -- to about a day; NULL: never
    bypassed_at TEXT COLLATE "C"  -- NULL: it was not seen to, or has asked since
);

CREATE TABLE deferral (
    group_id TEXT COLLATE "C" NOT NULL,
    node_id  TEXT COLLATE "C" NOT NULL,
    subject  TEXT COLLATE "C" NOT NULL,
    since    TEXT COLLATE "C" NOT NULL,
    status   TEXT NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL CHECK (kind IN ('agent', 'service')),
    service  TEXT NOT NULL,
    "overlaps" INTEGER NOT NULL, -- 0 or 1
    cut_off  TEXT NOT NULL,
    PRIMARY KEY (group_id, node_id)
);

CREATE TABLE hold (
    scope   TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- * or org or org/group
    since   TEXT COLLATE "C" NOT NULL,
    made_by TEXT NOT NULL,
    why     TEXT NOT NULL,
    until   TEXT COLLATE "C"
);

CREATE TABLE seen_clock (
    id                INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), -- one row
    seen              TEXT COLLATE "C" NOT NULL, -- like a time of day, as if the coordinator had never been blind
    wall              TEXT COLLATE "C" NOT NULL,
    clear_since       TEXT COLLATE "C",
    settlings         BIGINT NOT NULL,
    gaps              TEXT NOT NULL, -- JSON list of rules.seen_time.Gap
    exchange_ahead_ms BIGINT -- NULL where it was not known
);

CREATE TABLE served (
    group_id TEXT COLLATE "C" NOT NULL,
    node_id  TEXT COLLATE "C" NOT NULL,
    until    TEXT COLLATE "C" NOT NULL,
    cause    TEXT NOT NULL,
    PRIMARY KEY (group_id, node_id)
);

CREATE TABLE waiter (
    group_id        TEXT COLLATE "C" NOT NULL,
    node_id         TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL,
    subject         TEXT COLLATE "C" NOT NULL,
    agreement_bound INTEGER NOT NULL, -- 0 or 1
    since           TEXT COLLATE "C" NOT NULL,
    asked_at        TEXT COLLATE "C" NOT NULL,
    reasons         TEXT NOT NULL, -- JSON list of rules.reasons.Reason
    PRIMARY KEY (group_id, node_id, kind, subject)
);

CREATE TABLE journal (
    id       BIGINT NOT NULL PRIMARY KEY, -- counted in journal_end
    at       TEXT COLLATE "C" NOT NULL,
    event    TEXT COLLATE "C" NOT NULL,
    group_id TEXT COLLATE "C",
    node_id  TEXT COLLATE "C",
    subject  TEXT COLLATE "C",
    token    BIGINT,
    who      TEXT NOT NULL,
    facts    TEXT NOT NULL, -- JSON object
    scope    TEXT COLLATE "C" -- what an entry is about that has neither group nor node: the scope of its facts
);

CREATE INDEX journal_by_group ON journal (group_id, id);
CREATE INDEX journal_by_node ON journal (node_id, id);

-- The id of the last entry that was ever committed, and the size of the journal. A write locks this row until its commit: ids have no gaps,
-- because a sequence would keep those of a rolled back write, and once an entry can be read, none with a lower id appears.
-- An entry counts as the bytes of its facts and 256 (contract.ENTRY_BYTES).
CREATE TABLE journal_end (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), -- one row
    id    BIGINT NOT NULL,
    bytes BIGINT NOT NULL
) WITH (fillfactor = 10);

INSERT INTO journal_end (one, id, bytes) VALUES (1, 0, 0);

CREATE TABLE delivery_cursor (
    sink         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    confirmed_id BIGINT NOT NULL -- journal.id of the last confirmed entry, 0 for none; the entry itself may have been pruned
);

-- Which store this is: docs/decisions/0016-which-store-is-this.md, and 0033 for this one.
CREATE TABLE generation (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), -- one row
    id          TEXT NOT NULL,
    token_floor BIGINT NOT NULL, -- every token that is given from now on is higher
    doubt       TEXT NOT NULL, -- why nothing is granted yet; empty when everything was looked at, or a person has said so
    home        TEXT NOT NULL -- server, timeline, database and table of the last leader: another one may lack its last commits
);

-- Who leads. One row. The epoch is its key: a write locks the row FOR KEY SHARE, which a renewal does not wait for, but a change of the epoch.
CREATE TABLE leader (
    epoch          BIGINT NOT NULL PRIMARY KEY, -- rises with every change of the leader; 0 before the first
    one            INTEGER NOT NULL UNIQUE CHECK (one = 1),
    name           TEXT NOT NULL,
    run            TEXT NOT NULL, -- one start of its process
    gateway_url    TEXT NOT NULL,
    console_url    TEXT NOT NULL,
    writer         TEXT NOT NULL, -- what its writes carry; another one since it last loaded, so that writes from before are refused
    since          TIMESTAMPTZ NOT NULL,
    expires_at     TIMESTAMPTZ NOT NULL, -- by this database's clock, as every time in this table
    reserved_for   TEXT NOT NULL, -- after it was handed over: the name of the next one
    reserved_until TIMESTAMPTZ NOT NULL,
    seen_at        TIMESTAMPTZ NOT NULL -- the latest time of this database's clock: while it is behind that, nothing is granted
) WITH (fillfactor = 10);

INSERT INTO leader (epoch, one, name, run, gateway_url, console_url, writer, since, expires_at, reserved_for, reserved_until, seen_at)
VALUES (0, 1, '', '', '', '', '', clock_timestamp(), clock_timestamp(), '', clock_timestamp(), clock_timestamp());

-- The coordinators that have announced themselves.
CREATE TABLE coordinator (
    name        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run         TEXT NOT NULL,
    gateway_url TEXT NOT NULL,
    console_url TEXT NOT NULL,
    version     TEXT NOT NULL,
    seen_at     TIMESTAMPTZ NOT NULL
);
