-- Nodes whose workload has asked for no agent upgrade now.

CREATE TABLE busy (
    node_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    since      TEXT COLLATE "C" NOT NULL,
    until      TEXT COLLATE "C" NOT NULL,
    why        TEXT NOT NULL,
    state      TEXT NOT NULL -- busy, ignored or over: what has been reported
);
