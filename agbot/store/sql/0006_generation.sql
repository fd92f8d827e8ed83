-- Which store this is. A copy that is put in place of a newer one is another generation: see docs/decisions/0016-which-store-is-this.md.

CREATE TABLE generation (
    only        INTEGER NOT NULL PRIMARY KEY CHECK (only = 1), -- one row
    id          TEXT NOT NULL,
    token_floor INTEGER NOT NULL, -- every token that is given from now on is higher
    doubt       TEXT NOT NULL -- why nothing is granted yet; empty when everything was looked at, or a person has said so
);
