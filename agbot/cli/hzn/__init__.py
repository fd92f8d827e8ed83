"""Commands as in `hzn exchange`: the same options, environment, JSON and exit codes.

The results are those of `hzn`. Messages also state what was asked, what came back, what to do next,
and the consequences for running upgrades.
"""
