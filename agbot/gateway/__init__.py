"""The agent-facing listener: the permission route, the service upgrade route, and everything else passed on to the real agbot.

Agents' HZN_AGBOT_URL points here. This package reads requests, proves who asks, puts the question to the coordinator and writes the answer
in the agbot's own words; it decides nothing. Nothing that can be sent to the two routes of ours is answered with a 5xx: an agent that gets
one asks again every 10 s with its node management locked (the project's record of agent reactions, `agent-reaction-to-replies`).
"""
