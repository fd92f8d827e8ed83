-- An agent upgrade whose policy was deleted in the middle of it: the agent version before it, by which its end is known.

ALTER TABLE deferral ADD COLUMN cut_off TEXT NOT NULL DEFAULT '';
