-- When a member last held the lease of its group is its turn.
ALTER TABLE served RENAME TO turn;
