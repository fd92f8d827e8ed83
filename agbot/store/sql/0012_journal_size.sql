-- How much the journal takes, kept by every write: a bound in bytes is then held in the same transaction, without measuring anything.
-- 256 is contract.ENTRY_BYTES, what an entry takes beside its facts.

CREATE TABLE journal_size (
    only  INTEGER NOT NULL PRIMARY KEY CHECK (only = 1), -- one row
    bytes INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO journal_size (only, bytes)
SELECT 1, coalesce(sum(length(CAST(facts AS BLOB)) + 256), 0) FROM journal;

CREATE TRIGGER journal_grows AFTER INSERT ON journal
BEGIN
    UPDATE journal_size SET bytes = bytes + length(CAST(new.facts AS BLOB)) + 256;
END;

CREATE TRIGGER journal_shrinks AFTER DELETE ON journal
BEGIN
    UPDATE journal_size SET bytes = bytes - length(CAST(old.facts AS BLOB)) - 256;
END;
