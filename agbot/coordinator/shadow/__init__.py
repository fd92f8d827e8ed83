"""Shadow mode: what the real agbot decides, compared with what the coordinator would decide."""
