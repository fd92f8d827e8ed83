-- What the guard keeps beside the leases. Every object of it is named guard_…, so that `agbot guard uninstall` finds them all.

CREATE TABLE IF NOT EXISTS @ours@.guard_setting (
    only_row        integer PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    version         integer NOT NULL, -- of the guard's objects
    agents_without_leader text NOT NULL DEFAULT 'wait' CHECK (agents_without_leader IN ('wait', 'go')), -- while no coordinator judges
    services_without_leader text NOT NULL DEFAULT 'wait' CHECK (services_without_leader IN ('wait', 'go')),
    lease_seconds   double precision NOT NULL DEFAULT 600, -- of a grant, until the coordinator has taken it in
    judged_until    timestamptz NOT NULL DEFAULT '-infinity' -- until then a coordinator answers within seconds
) WITH (fillfactor = 50);
ALTER TABLE @ours@.guard_setting -- since version 5: how long an upgrade may take
    ADD COLUMN IF NOT EXISTS upgrade_seconds double precision NOT NULL DEFAULT 7200;

-- What the coordinator knows about upgrades: a reason to wait for a free lease, or that no lease is needed.
CREATE TABLE IF NOT EXISTS @ours@.guard_gate (
    scope       text NOT NULL, -- * or org or org/group
    kind        text NOT NULL, -- agent or service; empty: both
    subject     text NOT NULL, -- org/name; empty: every one
    node        text NOT NULL, -- org/node; empty: every one
    verdict     text NOT NULL CHECK (verdict IN ('wait', 'pass')),
    code        text NOT NULL, -- of the reason to wait
    reason      text NOT NULL,
    known_until timestamptz NOT NULL, -- nothing follows from it after that
    PRIMARY KEY (scope, kind, subject, node)
);

-- What the triggers have decided and the coordinator has not taken in yet. A refusal that is repeated changes its row.
CREATE TABLE IF NOT EXISTS @ours@.guard_outbox (
    group_id text NOT NULL,
    kind     text NOT NULL,
    node     text NOT NULL,
    subject  text NOT NULL,
    outcome  text NOT NULL CHECK (outcome IN ('granted', 'repeated', 'refused', 'failed')),
    token    bigint NOT NULL, -- of the grant; 0 without one
    code     text NOT NULL,
    reason   text NOT NULL,
    since    timestamptz NOT NULL,
    at       timestamptz NOT NULL,
    tries    bigint NOT NULL,
    PRIMARY KEY (group_id, kind, node, subject, outcome, token)
) WITH (fillfactor = 50);
