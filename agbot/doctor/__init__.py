"""`agbot doctor`: checks what the coordinator depends on, and finds and deletes stuck rows.

It reads everything itself, so it works whether or not the daemon runs; what a running daemon knows
is added.
"""
