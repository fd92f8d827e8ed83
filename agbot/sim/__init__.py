"""A simulated management hub: Exchange, nodes and agbot, for the demo and the tests.

It reads and writes raw JSON, as the real programs do, and imports nothing of the product. So a
mistake about the wire format cannot be on both sides and go unnoticed.
"""
