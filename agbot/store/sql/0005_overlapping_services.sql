-- The service of a policy whose upgrade overlaps with another one: an agreement for that service ends it, and none for another.

ALTER TABLE deferral ADD COLUMN service TEXT NOT NULL DEFAULT '';
