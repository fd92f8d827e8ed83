"""The forecast: how a rollout would go, by the coordinator's own rules, on a virtual clock.

It reads a hub once and writes nothing anywhere. What a question is answered, and how a lease ends,
is decided by `agbot.rules` and carried out by `agbot.transitions`, as in the daemon; only the
nodes, their upgrades and the time are made up here.
"""
