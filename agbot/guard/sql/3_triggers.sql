-- SECURITY DEFINER: the agbot's role needs no right in this schema. What is refused keeps the form that a real agbot takes
-- without an error: another node in the row of an agent, no row of a service.

CREATE OR REPLACE FUNCTION @ours@.guard_agent_asks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $agent$
DECLARE
    asked_group text := new.org_id || '/' || new.group_name;
    asked_node text := new.org_id || '/' || new.node_id;
    asked_subject text := new.org_id || '/' || new.nmp_id;
    decided record;
    shown_node text := '(no node)';
    shown_nmp text := '(refused)';
BEGIN
    BEGIN
        SELECT * INTO decided FROM @ours@.guard_decide(asked_group, 'agent', asked_node, asked_subject, new.nmp_id);
        IF decided.granted THEN
            RETURN new;
        END IF;
        IF decided.holder IS NOT NULL THEN
            shown_node := regexp_replace(decided.holder, '^[^/]*/', '');
            -- the name of a policy of services keeps its organisation, so that it never equals the asker's
            shown_nmp := CASE WHEN decided.held_kind = 'agent' THEN regexp_replace(decided.held_subject, '^[^/]*/', '')
                ELSE decided.held_subject END;
        END IF;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        PERFORM @ours@.guard_failed(asked_group, 'agent', asked_node, asked_subject, sqlerrm);
    END;
    IF shown_node = new.node_id AND shown_nmp = new.nmp_id THEN
        shown_nmp := new.nmp_id || ' (refused)'; -- whatever names a node has made up, a refusal never equals its question
    END IF;
    new.node_id := shown_node;
    new.nmp_id := shown_nmp;
    new.updated := '-infinity'; -- the mark of a row that only answers: it goes before the commit
    RETURN new;
END $agent$;

CREATE OR REPLACE FUNCTION @ours@.guard_agent_answered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $answered$
BEGIN
    DELETE FROM @theirs@.ha_group_updates
    WHERE group_name = new.group_name AND org_id = new.org_id AND updated = '-infinity';
    RETURN NULL;
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN NULL; -- the coordinator removes it
END $answered$;

CREATE OR REPLACE FUNCTION @ours@.guard_service_asks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $service$
DECLARE
    asked_group text := new.org_id || '/' || new.group_name;
    is_bare boolean := strpos(new.policy_name, '/') = 0;
    asked_subject text := CASE WHEN is_bare THEN new.org_id || '/' ELSE '' END || new.policy_name;
    decided record;
BEGIN
    SELECT * INTO decided FROM @ours@.guard_decide(
        asked_group, 'service', new.node_id, asked_subject, CASE WHEN is_bare THEN new.policy_name END);
    RETURN CASE WHEN decided.granted THEN new END;
EXCEPTION WHEN OTHERS OR query_canceled THEN
    PERFORM @ours@.guard_failed(asked_group, 'service', new.node_id, asked_subject, sqlerrm);
    RETURN NULL;
END $service$;

REVOKE ALL ON FUNCTION
    @ours@.guard_agent_asks(), @ours@.guard_agent_answered(), @ours@.guard_service_asks(),
    @ours@.guard_note(text, text, text, text, text, bigint, text, text), @ours@.guard_stamp(timestamptz),
    @ours@.guard_gate_of(text, text, text, text), @ours@.guard_unjudged(text), @ours@.guard_grant(text, text, text, text, bigint),
    @ours@.guard_decide(text, text, text, text, text), @ours@.guard_failed(text, text, text, text, text)
FROM PUBLIC;

DO $install$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = '@ours@.guard_agent_asks'::regproc) THEN
        CREATE TRIGGER agbot_guard_asks BEFORE INSERT ON @theirs@.ha_group_updates
        FOR EACH ROW EXECUTE FUNCTION @ours@.guard_agent_asks();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = '@ours@.guard_agent_answered'::regproc) THEN
        CREATE CONSTRAINT TRIGGER agbot_guard_answered AFTER INSERT ON @theirs@.ha_group_updates
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.updated = '-infinity')
        EXECUTE FUNCTION @ours@.guard_agent_answered();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = '@ours@.guard_service_asks'::regproc) THEN
        CREATE TRIGGER agbot_guard_asks BEFORE INSERT ON @theirs@.ha_workload_upgrade
        FOR EACH ROW EXECUTE FUNCTION @ours@.guard_service_asks();
    END IF;
END $install$;
