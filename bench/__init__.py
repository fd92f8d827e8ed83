"""What the coordinator costs, measured beside the bare machinery it stands on in the same run. `make bench` runs it."""
