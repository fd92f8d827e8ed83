"""The scheduler: answers a node's ask, reviews the leases once a cycle, carries out operators' actions.

The rules decide, it acts.
"""
