"""Answers questions, reviews leases in each cycle, and carries out operators' requests.

The rules and transitions decide; this package reads, commits and reports. Whatever writes may raise
`StoreUnavailableError`: then it is not known what was written, and the ledger is not trusted until
it has been read again.
"""
