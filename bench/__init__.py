"""What the coordinator costs, next to a bare implementation in the same run (`make bench`)."""
