-- Agent upgrades overlap too, and services of which the policy is not known: their subject alone no longer tells.

ALTER TABLE deferral ADD COLUMN overlaps INTEGER NOT NULL DEFAULT 0;
