-- A membership can be deferred for the upgrade of a service as well; that of a service has an empty subject.

ALTER TABLE deferral ADD COLUMN kind TEXT NOT NULL DEFAULT 'agent' CHECK (kind IN ('agent', 'service'));
