-- What a person lets past or lets begin: an allowance for one upgrade of a node, an approval of a release.

CREATE TABLE allowance (
    node_id TEXT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL, -- empty: whichever comes next
    since   TEXT NOT NULL,
    until   TEXT NOT NULL,
    made_by TEXT NOT NULL,
    why     TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE approval (
    scope   TEXT NOT NULL, -- * or org or org/group
    kind    TEXT NOT NULL CHECK (kind IN ('agent', 'service')),
    subject TEXT NOT NULL,
    since   TEXT NOT NULL,
    made_by TEXT NOT NULL,
    why     TEXT NOT NULL,
    PRIMARY KEY (scope, kind, subject)
) WITHOUT ROWID;
