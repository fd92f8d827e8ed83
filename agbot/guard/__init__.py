"""The guard: triggers in the real agbot's own database.

They decide the agbot's claims by our leases, in the agbot's transaction, also while no coordinator
runs.
"""
