"""What the coordinator keeps in memory: leases, records, and counts over groups."""
