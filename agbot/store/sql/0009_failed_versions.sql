-- What failed when a brake was set, as JSON: a new revision lifts it only for those who bring something else.

ALTER TABLE brake ADD COLUMN failed TEXT NOT NULL DEFAULT '[]';
