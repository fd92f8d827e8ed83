"""Commands that an administrator knows from `hzn exchange`: the same options, environment, JSON and exit codes.

The outcome is `hzn`'s, the words are ours: who was asked, what came back, what to do next, and what follows for upgrades under way.
"""
