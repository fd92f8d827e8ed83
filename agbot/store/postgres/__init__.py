"""The lease store on PostgreSQL, for one coordinator or several: see `agbot.store.leadership`.

It needs the extra `postgres`, so that nothing outside imports this package before it is used.
"""
