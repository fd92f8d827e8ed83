"""The listener for agents: questions are answered here, all else is passed to the real agbot.

The agents' HZN_AGBOT_URL points here. This package reads requests, authenticates the caller, asks
the coordinator and writes the answer in the real agbot's format. It decides nothing itself. A
request to its own two routes is never answered with a 5xx: an agent that gets one asks again every
10 s with its node management locked (the project's record of agent reactions,
`agent-reaction-to-replies`).
"""
