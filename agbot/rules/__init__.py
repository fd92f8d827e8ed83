"""The decisions: who may upgrade now, whose lease stays, and why.

Pure: no I/O, no clock, no asyncio, no logging.
"""
