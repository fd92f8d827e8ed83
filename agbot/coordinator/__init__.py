"""Answers questions, reviews leases in each cycle, and carries out operators' requests.

The rules and transitions decide; this package reads, commits and reports.
"""
