-- Every statement of the SQLite store but for the journal's filters. A block begins with its name between dashes.

-- lease.one --
SELECT * FROM lease WHERE group_id = :group_id;

-- lease.all --
SELECT * FROM lease ORDER BY group_id;

-- lease.swap --
-- Compare and set: no row changes unless token and state are still the expected ones.
UPDATE lease
SET token = :token, state = :state, holder = :holder, kind = :kind, subject = :subject,
    granted_at = :granted_at, renewed_at = :renewed_at, expires_at = :expires_at,
    progress = :progress, last_end = :last_end
WHERE group_id = :group_id AND token = :expected_token AND state = :expected_state;

-- lease.first --
-- The first swap of a group makes its row; whoever comes second finds it there.
INSERT INTO lease (group_id, token, state, holder, kind, subject, granted_at, renewed_at, expires_at, progress, last_end)
VALUES (:group_id, :token, :state, :holder, :kind, :subject, :granted_at, :renewed_at, :expires_at, :progress, :last_end)
ON CONFLICT (group_id) DO NOTHING;

-- brake.all --
SELECT * FROM brake ORDER BY group_id, kind, subject;

-- brake.put --
INSERT OR REPLACE INTO brake (group_id, kind, subject, revision, since, cause, node_id, token, failed)
VALUES (:group_id, :kind, :subject, :revision, :since, :cause, :node_id, :token, :failed);

-- brake.drop --
DELETE FROM brake WHERE group_id = :group_id AND kind = :kind AND subject = :subject;

-- clock.all --
SELECT * FROM seen_clock;

-- clock.put --
INSERT OR REPLACE INTO seen_clock (id, seen, wall, clear_since, settlings, gaps, exchange_ahead_ms)
VALUES (1, :seen, :wall, :clear_since, :settlings, :gaps, :exchange_ahead_ms);

-- contact.all --
SELECT * FROM contact ORDER BY node_id;

-- contact.put --
INSERT OR REPLACE INTO contact (node_id, asked_at, bypassed_at) VALUES (:node_id, :asked_at, :bypassed_at);

-- deferral.all --
SELECT * FROM deferral ORDER BY group_id, node_id;

-- deferral.put --
INSERT OR REPLACE INTO deferral (group_id, node_id, subject, since, status, kind, service, overlaps, cut_off)
VALUES (:group_id, :node_id, :subject, :since, :status, :kind, :service, :overlaps, :cut_off);

-- deferral.drop --
DELETE FROM deferral WHERE group_id = :group_id AND node_id = :node_id;

-- pause.all --
SELECT * FROM pause ORDER BY scope;

-- pause.put --
INSERT OR REPLACE INTO pause (scope, since, made_by, why, until) VALUES (:scope, :since, :made_by, :why, :until);

-- pause.drop --
DELETE FROM pause WHERE scope = :scope;

-- served.all --
SELECT * FROM served ORDER BY group_id, node_id;

-- served.put --
INSERT OR REPLACE INTO served (group_id, node_id, until, cause) VALUES (:group_id, :node_id, :until, :cause);

-- served.prune --
DELETE FROM served WHERE until < :before;

-- waiter.all --
SELECT * FROM waiter ORDER BY group_id, node_id, kind, subject;

-- waiter.put --
INSERT OR REPLACE INTO waiter (group_id, node_id, kind, subject, agreement_bound, since, asked_at, reasons)
VALUES (:group_id, :node_id, :kind, :subject, :agreement_bound, :since, :asked_at, :reasons);

-- waiter.drop --
DELETE FROM waiter WHERE group_id = :group_id AND node_id = :node_id AND kind = :kind AND subject = :subject;

-- journal.append --
INSERT INTO journal (at, event, group_id, node_id, subject, token, who, facts)
VALUES (:at, :event, :group_id, :node_id, :subject, :token, :who, :facts);

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

-- allowance.all --
SELECT * FROM allowance ORDER BY node_id;

-- allowance.put --
INSERT OR REPLACE INTO allowance (node_id, subject, since, until, made_by, why)
VALUES (:node_id, :subject, :since, :until, :made_by, :why);

-- allowance.drop --
DELETE FROM allowance WHERE node_id = :node_id;

-- approval.all --
SELECT * FROM approval ORDER BY scope, kind, subject;

-- approval.put --
INSERT OR REPLACE INTO approval (scope, kind, subject, since, made_by, why)
VALUES (:scope, :kind, :subject, :since, :made_by, :why);

-- approval.drop --
DELETE FROM approval WHERE scope = :scope AND kind = :kind AND subject = :subject;

-- generation.settle --
UPDATE generation SET doubt = '';
