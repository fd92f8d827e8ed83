-- Which nodes ask here before they upgrade their agent, and which were seen not to.

CREATE TABLE contact (
    node_id     TEXT NOT NULL PRIMARY KEY,
    asked_at    TEXT, -- to about a day; NULL: never
    bypassed_at TEXT  -- NULL: it was not seen to, or has asked since
) WITHOUT ROWID;
