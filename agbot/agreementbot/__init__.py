"""The real agbot's local API, which is only read. No other package knows its JSON."""
