-- A trigger belongs to the table's owner, but goes with its function, which is ours.

DROP FUNCTION IF EXISTS
    @ours@.guard_agent_asks(), @ours@.guard_agent_answered(), @ours@.guard_service_asks() CASCADE;
DROP FUNCTION IF EXISTS
    @ours@.guard_failed(text, text, text, text, text), @ours@.guard_decide(text, text, text, text, text),
    @ours@.guard_grant(text, text, text, text, bigint), @ours@.guard_gate_of(text, text, text, text), @ours@.guard_unjudged(text),
    @ours@.guard_note(text, text, text, text, text, bigint, text, text), @ours@.guard_stamp(timestamptz);
