"""The in-memory picture of organisations, groups, nodes, statuses and agreements.

Pure: it changes only by what it is given.
"""
