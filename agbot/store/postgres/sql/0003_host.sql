-- A lease may also be for a host that reboots.

ALTER TABLE lease DROP CONSTRAINT lease_kind_check, ADD CONSTRAINT lease_kind_check CHECK (kind IN ('agent', 'service', 'host'));
