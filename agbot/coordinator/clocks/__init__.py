"""Wall time and seen time of the running coordinator."""
