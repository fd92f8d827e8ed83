"""The client of the Exchange: the change feed, and reads. No other package knows its JSON."""
