"""The real agbot's local API: the only place that knows its JSON. It is read, never written."""
