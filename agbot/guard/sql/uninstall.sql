DROP TABLE IF EXISTS @ours@.guard_outbox, @ours@.guard_gate, @ours@.guard_setting;

-- A row that only answered an agent, and that an error has kept from going at the commit, would answer for ever.
DO $rows$
BEGIN
    DELETE FROM @theirs@.ha_group_updates WHERE updated = '-infinity';
EXCEPTION WHEN undefined_table OR insufficient_privilege THEN
    NULL;
END $rows$;
