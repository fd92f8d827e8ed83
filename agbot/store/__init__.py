"""Leases, other records and the journal, durable through crashes.

No other package uses a database driver.
"""
