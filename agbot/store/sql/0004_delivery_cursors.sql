-- How far each sink (the MQTT broker, each webhook) has confirmed the journal, which is the outbox of what other systems are told.

CREATE TABLE delivery_cursor (
    sink         TEXT NOT NULL PRIMARY KEY,
    confirmed_id INTEGER NOT NULL -- journal.id of the last confirmed entry, 0 for none; the entry itself may have been pruned
) WITHOUT ROWID;
