"""Everything that can happen, as types. Pure: no I/O, no clock, no log.

There is one class for each event, with its name (`noun.verb`), its level, its meaning, its fields
and the sentence for people. The log line, the row of the journal, the payload for other systems,
the history, the JSON schema and the table in `docs/events.md` derive from the class.
"""
