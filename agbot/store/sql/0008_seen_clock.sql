-- How far the clock has come that stands still while the coordinator cannot see: after a restart it goes on from there. One row.

CREATE TABLE seen_clock (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seen        TEXT NOT NULL, -- like a time of day, as if the coordinator had never been blind
    wall        TEXT NOT NULL,
    clear_since TEXT,
    settlings   INTEGER NOT NULL,
    gaps        TEXT NOT NULL -- JSON list of rules.seen_time.Gap
) WITHOUT ROWID;
