"""Every decision as an event, under one name, from the journal to the log, to MQTT and to webhooks. Nothing is told before it is committed.

The journal in the store is the outbox: entries are written in the transaction that they tell of, so nothing that happened is missing from
it and nothing is in it that did not happen. Each sink reads on from where it has come, in its own task; none can slow anything else.
"""
