"""What lets a node go is an instruction that can be copied, with the names in it."""

from __future__ import annotations

from dataclasses import replace

from agbot.coordinator.operators.explaining import unblock
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.rules.reasons import Code
from tests.support import values


def claim(subject: str, kind: Kind = Kind.AGENT) -> Claim:
    return Claim(holder=values.ANNA, kind=kind, subject=PolicyId(subject))


def test_the_names_in_what_lets_a_node_go_are_put_in_as_they_are() -> None:
    lease = replace(values.held(token=7), group=GroupId("o1/{policy}-{org}"))

    text = unblock(Code.BRAKE, claim("o1/{token}"), lease)

    assert text.endswith("`agbot resume 'o1/{policy}-{org}' --subject 'o1/{token}' --reason …`")
    assert "release 'o1/{policy}-{org}' --token 7 --reason" in unblock(Code.LEASE_SUSPECT, claim("o1/p"), lease)


def test_a_service_upgrade_is_approved_as_one() -> None:
    shown = [unblock(Code.NOT_APPROVED, claim("o1/p", kind), values.held()) for kind in (Kind.AGENT, Kind.SERVICE)]

    assert ["--subject o1/p --reason" in text for text in shown] == [True, False]
    assert "--subject o1/p --service --reason" in shown[1]


def test_every_reason_can_be_reported_how_to_go_away() -> None:
    for code in Code:
        assert unblock(code, claim("o1/p"), values.held(), resume="`agbot resume o1 --reason …`")
