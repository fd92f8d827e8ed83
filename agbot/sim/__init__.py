"""A simulated management hub: Exchange, nodes and agbot, for the demo and the tests.

It speaks raw JSON, as the real programs do, and imports nothing of the product, so that a mistake about the wire cannot be
on both sides and cancel out.
"""
