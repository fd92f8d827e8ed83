"""A small hub for the tests of the simulated Exchange: two organisations with people, agbots, nodes and two groups."""

from __future__ import annotations

from datetime import UTC, datetime

from agbot.sim.exchange import SimExchange, seed
from tests.support.clocks import HandClock

EPOCH = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
SETTLED_SECONDS = 10
"""The clock moves on by so much after filling, beyond the overlap of the change feed."""

ROOT, HUB_ADMIN, IBM_ADMIN = "root/root", "root/maria", "IBM/admin"
ADMIN, OWNER, OTHER_USER = "o1/admin", "o1/jdoe", "o1/mlee"
AGBOT, IBM_AGBOT = "o1/agbot1", "IBM/agbot1"
NODE, OTHER_NODE = "o1/n1", "o1/n2"
FOREIGN_ADMIN, FOREIGN_AGBOT, FOREIGN_NODE = "o2/admin", "o2/agbot2", "o2/x1"


def clock() -> HandClock:
    """Return a clock that stands at `EPOCH`."""
    return HandClock(EPOCH)


def plant(at: HandClock | None = None) -> SimExchange:
    """Return an Exchange with this in it, and nothing counted.

    o1: users admin, jdoe (owns n1 and n2) and mlee (owns free), agbot1; group `adm` of the admin
    with n1, group `usr` of jdoe with n2; management policy `nmp`. o2: admin, agbot2, node x1. IBM:
    admin, agbot1. root: the hub admin maria.
    """
    at = at or clock()
    exchange = SimExchange(clock=at, root_password="rootpw")
    seed.org(exchange, "o1")
    seed.org(exchange, "o2")
    seed.user(exchange, "IBM", "admin", admin=True)
    seed.user(exchange, "o1", "jdoe")
    seed.user(exchange, "o1", "mlee")
    hub_admin = {"password": "maria-secret", "admin": False, "hubAdmin": True, "email": "maria@hub.example"}
    seed.send(exchange, "POST", "/orgs/root/users/maria", hub_admin)
    for org, agbot in (("IBM", "agbot1"), ("o1", "agbot1"), ("o2", "agbot2")):
        seed.agbot(exchange, org, agbot)
    for name, owner in (("n1", OWNER), ("n2", OWNER), ("free", OTHER_USER)):
        seed.node(exchange, "o1", name, owner=owner)
    seed.node(exchange, "o2", "x1")
    seed.group(exchange, "o1", "adm", ["n1"], description="of the admin")
    seed.send(exchange, "POST", "/orgs/o1/hagroups/usr", {"description": "of jdoe", "members": ["n2"]}, caller=OWNER)
    seed.management_policy(exchange, "o1", "nmp")
    exchange.requests.clear()
    at.advance(SETTLED_SECONDS)
    return exchange
