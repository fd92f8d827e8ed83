"""Shared by the agents' and the operators' listener: accepts, parses, limits and ends connections.

It does not know what a request asks or how it is answered.
"""
