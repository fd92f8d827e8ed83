-- One question of the agbot, decided by the lease row of its group in the agbot's own transaction.
-- Only the triggers, which fix the search path, may call these functions. All are PL/pgSQL, which keeps their plans.

CREATE OR REPLACE FUNCTION @ours@.guard_note(
    asked_group text, asked_kind text, asked_node text, asked_subject text,
    what text, with_token bigint, with_code text, with_reason text
) RETURNS void LANGUAGE plpgsql AS $note$
BEGIN
    -- the agbot does not check that a policy exists: one node that makes names up must not fill the database
    IF what IN ('refused', 'failed') AND (SELECT count(*) FROM (
        SELECT FROM @ours@.guard_outbox AS each WHERE each.group_id = asked_group LIMIT 200) AS noted) = 200
    THEN
        RETURN;
    END IF;
    INSERT INTO @ours@.guard_outbox AS known
        (group_id, kind, node, subject, outcome, token, code, reason, since, at, tries)
    VALUES (asked_group, asked_kind, asked_node, asked_subject, what, with_token, with_code, with_reason,
            clock_timestamp(), clock_timestamp(), 1)
    ON CONFLICT (group_id, kind, node, subject, outcome, token) DO UPDATE
    SET code = excluded.code, reason = excluded.reason, at = excluded.at, tries = known.tries + 1;
END $note$;

CREATE OR REPLACE FUNCTION @ours@.guard_stamp(moment timestamptz) RETURNS text
LANGUAGE plpgsql STABLE AS $stamp$
BEGIN
    RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
END $stamp$;

-- The known gate that applies; one that lets pass goes before one that lets wait.
CREATE OR REPLACE FUNCTION @ours@.guard_gate_of(
    asked_group text, asked_kind text, asked_node text, asked_subject text,
    OUT verdict text, OUT code text, OUT reason text
) LANGUAGE plpgsql STABLE AS $gate$
BEGIN
    SELECT gate.verdict, gate.code, gate.reason INTO verdict, code, reason FROM @ours@.guard_gate AS gate
    WHERE gate.scope IN ('*', split_part(asked_group, '/', 1), asked_group)
        AND gate.kind IN ('', asked_kind) AND gate.subject IN ('', asked_subject) AND gate.node IN ('', asked_node)
        AND gate.known_until > clock_timestamp()
    ORDER BY gate.verdict, gate.known_until DESC
    LIMIT 1;
END $gate$;

-- What becomes of a free lease without a gate.
CREATE OR REPLACE FUNCTION @ours@.guard_unjudged(asked_kind text, OUT verdict text, OUT code text, OUT reason text)
LANGUAGE plpgsql AS $unjudged$
DECLARE
    settings @ours@.guard_setting%ROWTYPE;
BEGIN
    SELECT * INTO STRICT settings FROM @ours@.guard_setting;
    IF settings.judged_until > clock_timestamp() THEN
        verdict := 'wait';
        code := 'not-judged';
        reason := 'the coordinator is about to decide';
    ELSE
        verdict := CASE asked_kind WHEN 'agent' THEN settings.agents_without_leader ELSE settings.services_without_leader END;
        code := 'no-leader';
        reason := 'no coordinator is running or able to decide';
    END IF;
END $unjudged$;

CREATE OR REPLACE FUNCTION @ours@.guard_grant(
    asked_group text, asked_kind text, asked_node text, asked_subject text, above bigint
) RETURNS bigint LANGUAGE plpgsql AS $grant$
DECLARE
    settings @ours@.guard_setting%ROWTYPE;
    at_wall timestamptz := clock_timestamp();
    at_seen timestamptz; -- the coordinator's clock, which stands still while no coordinator can see
    new_token bigint;
BEGIN
    SELECT * INTO STRICT settings FROM @ours@.guard_setting;
    SELECT least(at_wall, mark.seen::timestamptz + CASE WHEN settings.judged_until > at_wall
        THEN greatest(at_wall - mark.wall::timestamptz, interval '0') ELSE interval '0' END)
    INTO at_seen FROM @ours@.seen_clock AS mark;
    at_seen := coalesce(at_seen, at_wall);
    UPDATE @ours@.lease AS each SET
        token = greatest(each.token, above) + 1, state = 'held', holder = asked_node, kind = asked_kind, subject = asked_subject,
        granted_at = @ours@.guard_stamp(at_wall), renewed_at = @ours@.guard_stamp(at_seen),
        expires_at = @ours@.guard_stamp(at_seen + make_interval(secs => settings.lease_seconds)),
        progress = json_build_object('moved_at', @ours@.guard_stamp(at_seen), 'is_untaken', true)::text
    WHERE each.group_id = asked_group RETURNING each.token INTO STRICT new_token;
    RETURN new_token;
END $grant$;

CREATE OR REPLACE FUNCTION @ours@.guard_decide(
    asked_group text, asked_kind text, asked_node text, asked_subject text, bare_subject text,
    OUT granted boolean, OUT holder text, OUT held_kind text, OUT held_subject text
) LANGUAGE plpgsql AS $decide$
DECLARE
    lease @ours@.lease%ROWTYPE;
    generation @ours@.generation%ROWTYPE;
    gate record;
    is_same boolean;
    is_sure boolean; -- not from before the database was replaced, or decided again since by a coordinator
    is_unlooked boolean; -- no grant since the database was replaced, in as long as an upgrade from before may go on
    is_behind boolean; -- the database's clock has gone back, so that times mean nothing until it has caught up
    doubt text;
BEGIN
    granted := false;
    SELECT * INTO gate FROM @ours@.guard_gate_of(asked_group, asked_kind, asked_node, asked_subject);
    SELECT * INTO generation FROM @ours@.generation;
    SELECT each.seen_at > clock_timestamp() INTO is_behind FROM @ours@.leader AS each;
    -- a promoted replica may lack the last grants: its timeline is not that of the last leader
    doubt := CASE WHEN generation.doubt <> '' THEN generation.doubt
        WHEN split_part(generation.home, '/', 2) NOT IN ('', substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
        THEN 'the database is another one than that of the last grants' ELSE '' END;
    IF gate.verdict = 'pass' AND doubt = '' AND is_behind IS NOT TRUE THEN
        granted := true;
        RETURN;
    END IF;
    SELECT * INTO lease FROM @ours@.lease AS each WHERE each.group_id = asked_group FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO @ours@.lease (group_id, token, state) VALUES (asked_group, 0, 'free') ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT lease FROM @ours@.lease AS each WHERE each.group_id = asked_group FOR UPDATE;
    END IF;
    -- a policy that a pattern made has no organisation in the agbot's table
    is_same := lease.state <> 'free' AND lease.holder = asked_node AND lease.kind = asked_kind
        AND (lease.subject = asked_subject OR substr(lease.subject, strpos(lease.subject, '/') + 1) = bare_subject);
    is_sure := CASE WHEN lease.token > coalesce(generation.token_floor, 0) THEN true
        ELSE lease.progress ~ ('"upheld_above":' || generation.token_floor || '[,}]') END; -- as json, U+0000 in it would be an error
    IF doubt <> '' THEN
        PERFORM @ours@.guard_note(asked_group, asked_kind, asked_node, asked_subject, 'refused', 0, 'store-changed', doubt);
    ELSIF is_same AND is_sure THEN
        granted := true;
        PERFORM @ours@.guard_note(asked_group, asked_kind, asked_node, asked_subject, 'repeated', lease.token, '', '');
        RETURN;
    ELSIF lease.state <> 'free' THEN
        PERFORM @ours@.guard_note(asked_group, asked_kind, asked_node, asked_subject, 'refused', 0,
            'lease-' || lease.state, lease.holder || ' has the lease for ' || coalesce(nullif(lease.subject, ''), 'a service'));
    ELSIF is_behind THEN
        PERFORM @ours@.guard_note(asked_group, asked_kind, asked_node, asked_subject, 'refused', 0,
            'clock-untrusted', 'the clock of the database has gone back');
    ELSE
        IF gate.verdict IS NULL THEN
            SELECT * INTO gate FROM @ours@.guard_unjudged(asked_kind);
            -- neither the leases nor the agbot's rows show a service upgrade that was granted in the database before: before the
            -- first grant since then a coordinator looks at the services of the members
            SELECT generation.token_floor > 0 AND lease.token <= generation.token_floor AND clock_timestamp()
                < to_timestamp(generation.token_floor / 1000.0) + make_interval(secs => settings.upgrade_seconds)
            INTO is_unlooked FROM @ours@.guard_setting AS settings;
            IF gate.verdict = 'go' AND is_unlooked THEN
                gate.verdict := 'wait';
                gate.code := 'store-changed';
                gate.reason := 'an upgrade from before the database was replaced may still go on';
            END IF;
        END IF;
        IF gate.verdict = 'go' THEN
            granted := true;
            PERFORM @ours@.guard_note(asked_group, asked_kind, asked_node, asked_subject, 'granted',
                @ours@.guard_grant(asked_group, asked_kind, asked_node, asked_subject, coalesce(generation.token_floor, 0)),
                gate.code, gate.reason);
            RETURN;
        END IF;
        PERFORM @ours@.guard_note(asked_group, asked_kind, asked_node, asked_subject, 'refused', 0, gate.code, gate.reason);
    END IF;
    holder := lease.holder;
    held_kind := lease.kind;
    held_subject := lease.subject;
END $decide$;

-- An error inside a trigger must not reach the agbot, which would answer an agent with 500. It is written down if that works.
CREATE OR REPLACE FUNCTION @ours@.guard_failed(
    asked_group text, asked_kind text, asked_node text, asked_subject text, what text
) RETURNS void LANGUAGE plpgsql AS $failed$
BEGIN
    RAISE LOG 'agbot guard: % of % in % was refused because of an error: %', asked_subject, asked_node, asked_group, what;
    PERFORM @ours@.guard_note(asked_group, asked_kind, asked_node, asked_subject, 'failed', 0, 'internal-error', what);
EXCEPTION WHEN OTHERS OR query_canceled THEN
    NULL;
END $failed$;
