"""What the agents' and the operators' listeners share: how a connection is taken, read, bounded and given up.

It knows nothing of what is asked or answered.
"""
