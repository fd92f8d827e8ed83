"""Leases, deferrals, brakes, waiters and the journal, kept through crashes. Nobody else uses a database driver."""
