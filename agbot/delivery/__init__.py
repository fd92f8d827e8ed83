"""Delivers the events of the journal to other systems: an MQTT broker and webhooks.

The journal in the store is the outbox. Its entries are written in the transaction that they
describe, so it has exactly what has happened, and nothing is delivered before it is committed. Each
sink reads on from its own cursor, in its own task, and slows nothing else down.
"""
