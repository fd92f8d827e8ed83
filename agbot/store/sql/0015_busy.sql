-- Nodes whose workload has asked for no agent upgrade now.

CREATE TABLE busy (
    node_id    TEXT NOT NULL PRIMARY KEY,
    since      TEXT NOT NULL,
    until      TEXT NOT NULL,
    why        TEXT NOT NULL,
    state      TEXT NOT NULL -- busy, ignored or over: what has been reported
) WITHOUT ROWID;
