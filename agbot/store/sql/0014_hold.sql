-- An operator's stop of new grants is called a hold.
ALTER TABLE pause RENAME TO hold;
