"""The seeded simulation: the real coordinator against a simulated hub in which everything goes wrong.

`python -m tests.simulation --help` plays seeds.
"""
