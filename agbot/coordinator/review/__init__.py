"""The parts of a cycle that handle leases, rests, deferrals, brakes and old records."""
