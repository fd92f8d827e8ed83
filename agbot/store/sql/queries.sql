-- The statements of the SQLite store that are about one table alone; `statements` makes those that are alike for all tables, and
-- `queries` the journal's filters. A block begins with its name between dashes.

-- lease.one --
SELECT * FROM lease WHERE group_id = :group_id;

-- lease.all --
SELECT * FROM lease ORDER BY group_id;

-- turn.prune --
DELETE FROM turn WHERE until < :before;

-- journal.read --
SELECT * FROM journal;

-- journal.last --
-- The newest id that was ever committed; SQLite keeps it for AUTOINCREMENT, in the same transaction as the entry.
SELECT seq FROM sqlite_sequence WHERE name = 'journal';

-- cursor.one --
SELECT confirmed_id FROM delivery_cursor WHERE sink = :sink;

-- cursor.save --
-- A late or repeated write never takes a sink back.
INSERT INTO delivery_cursor (sink, confirmed_id) VALUES (:sink, :confirmed_id)
ON CONFLICT (sink) DO UPDATE SET confirmed_id = max(confirmed_id, excluded.confirmed_id);

-- journal.window --
-- A stretch of the journal from its old end on.
SELECT id, at FROM journal WHERE id > :after ORDER BY id LIMIT :stretch;

-- journal.prune --
DELETE FROM journal WHERE id > :after AND id <= :upto AND at < :before;

-- journal.bytes --
SELECT bytes FROM journal_size;

-- journal.oldest --
-- Sizes are needed for the oldest few alone: what goes.
SELECT id, length(CAST(facts AS BLOB)) AS bytes FROM journal ORDER BY id LIMIT :stretch;

-- journal.cut --
DELETE FROM journal WHERE id <= :upto;

-- generation.settle --
UPDATE generation SET doubt = '';
