-- How far the Exchange's clock was ahead when that was written: after a start it tells whether our date has moved meanwhile.

ALTER TABLE seen_clock ADD COLUMN exchange_ahead_ms INTEGER; -- NULL where it was not known
