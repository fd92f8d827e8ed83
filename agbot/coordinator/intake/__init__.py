"""Reads of the Exchange: the change feed, the organisations, and the plan of reads."""
