"""The `agbot` command: one file per command group.

Heavy imports stay inside the commands, so that `agbot status` starts fast.
"""
