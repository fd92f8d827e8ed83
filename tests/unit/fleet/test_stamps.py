"""When a record was written, whatever its stamp says: each kind of record, from the future, from the past, and while clocks are set."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agbot.exchange import resources
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.policies import policy_read
from agbot.fleet.stamps import AHEAD, Stamps
from agbot.rules import deferral, health, service_gap
from agbot.rules.consent import not_approved
from agbot.rules.facts import Member, Node, Policy, Sight
from agbot.rules.holder import Seen
from agbot.rules.ids import OrgId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Approval
from agbot.rules.review import review
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Status
from agbot.rules.verdict import Keep, Release
from tests.support.examples import examples
from tests.support.values import (
    ANNA,
    BERT,
    LIMITS,
    NMP,
    NOW,
    agreement,
    ask,
    at,
    begun,
    case,
    group,
    held,
    limits,
    node,
    policy,
    review_of,
    status,
)
from tests.support.values import deferral as deferred

ORG = OrgId("o1")
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
WRONG = pytest.mark.parametrize(
    "off", [DAY, -DAY, HOUR, -HOUR], ids=["day ahead", "day back", "hour ahead", "hour back"]
)
"""How far the Exchange's clock was off when it stamped what appears, as far as anybody knows."""
LONG = timedelta(seconds=LIMITS.max_upgrade_seconds)


class Look:
    """A picture, and the Exchange as it is shown at some moments after noon."""

    def __init__(self) -> None:
        self.picture = Picture()

    def heartbeat(self, sent: timedelta, *, stamp: str, seen: timedelta, registered: bool = True) -> Node:
        shown = structs.replace(node(ANNA, registered=registered), heartbeat_at=NOW.wall + sent, heartbeat_stamp=stamp)
        self.picture.learn_node(ANNA, shown, begun=self.picture.begin(), now=NOW + seen)
        found = self.picture.node(ANNA)
        assert isinstance(found, Node)
        return found

    def status(self, value: str, written: timedelta, *, seen: timedelta, stamp: str = "") -> Status:
        shown = {NMP: replace(status(value, stamp=stamp or value), updated_at=NOW.wall + written)}
        self.picture.learn_statuses(ANNA, shown, begun=self.picture.begin(), now=NOW + seen)
        found = self.picture.status(ANNA, NMP)
        assert isinstance(found, Status)
        return found

    def policy(self, revision: str, revised: timedelta | None, *, seen: timedelta) -> Policy:
        read = policy_read(Kind.AGENT, NMP)
        revised_at = None if revised is None else NOW.wall + revised
        shown = policy(revision=revision, revised_at=revised_at)
        self.picture.policies.learn(read, shown, begun=self.picture.begin(), now=NOW + seen)
        found = self.picture.policies.get(Kind.AGENT, NMP)
        assert isinstance(found, Policy)
        return found

    def member(self) -> Member:
        found = self.picture.member(ANNA)
        assert isinstance(found, Member)
        return found


@WRONG
def test_a_heartbeat_that_cannot_have_been_sent_then_proves_no_life_and_no_silence(off: timedelta) -> None:
    look = Look()
    look.heartbeat(-MINUTE, stamp="1", seen=timedelta())
    seen = look.heartbeat(MINUTE + off, stamp="2", seen=MINUTE)

    now = NOW + 2 * MINUTE
    assert health.why_offline(seen, LIMITS, now) is not None
    assert health.alive_at(seen) == (NOW.wall + MINUTE + off if off < timedelta() else None)
    assert health.why_silent(seen, LIMITS, now) is None
    assert health.is_dead(seen, LIMITS, now + timedelta(seconds=LIMITS.dead_after_seconds)), "no silence lasts for ever"


def test_a_node_first_seen_with_a_heartbeat_of_the_future_is_not_available_until_it_sends_another() -> None:
    look = Look()
    first = look.heartbeat(DAY, stamp="1", seen=timedelta())
    still = look.heartbeat(DAY, stamp="1", seen=DAY)
    then = look.heartbeat(DAY, stamp="2", seen=DAY)

    assert health.why_offline(first, LIMITS, NOW) is not None
    assert health.why_offline(still, LIMITS, NOW + DAY) is not None, "that its time has come makes it no fresh one"
    assert health.why_offline(then, LIMITS, NOW + DAY) is None


@WRONG
def test_the_same_heartbeat_stays_as_old_as_it_is_when_the_exchanges_clock_is_set(off: timedelta) -> None:
    look = Look()
    look.heartbeat(timedelta(), stamp="1", seen=timedelta())
    seen = look.heartbeat(off, stamp="1", seen=4 * MINUTE)

    assert seen.heartbeat_at == NOW.wall
    assert health.why_offline(seen, LIMITS, NOW + 4 * MINUTE) is None
    assert health.why_silent(seen, LIMITS, NOW + 6 * MINUTE) is not None


@WRONG
def test_a_later_heartbeat_stays_as_old_as_it_is_too(off: timedelta) -> None:
    look = Look()
    for stamp, sent in (("1", timedelta()), ("2", MINUTE)):
        look.heartbeat(sent, stamp=stamp, seen=sent)

    assert look.heartbeat(MINUTE + off, stamp="2", seen=4 * MINUTE).heartbeat_at == NOW.wall + MINUTE


@WRONG
def test_what_was_stamped_before_the_clock_was_found_to_be_set_is_known_when_it_was(off: timedelta) -> None:
    look = Look()
    look.status("download started", -HOUR, seen=timedelta())
    unknown = look.status("initiated", 50 * timedelta(seconds=1) + off, seen=MINUTE)
    known = look.status("initiated", 50 * timedelta(seconds=1), seen=2 * MINUTE)

    assert (unknown.is_dated, unknown.updated_at) == (False, NOW.wall + MINUTE)
    assert (known.is_dated, known.updated_at) == (True, NOW.wall + timedelta(seconds=50))


@WRONG
def test_a_peer_is_under_way_for_as_long_as_an_upgrade_may_take_from_when_that_was_first_seen(off: timedelta) -> None:
    look = Look()
    look.heartbeat(timedelta(), stamp="1", seen=timedelta())
    look.status("download started", -HOUR, seen=timedelta())
    look.status("initiated", MINUTE + off, seen=MINUTE)

    assert health.upgrading(look.member(), LIMITS, NOW + LONG) == NMP
    assert health.upgrading(look.member(), LIMITS, NOW + LONG + 2 * MINUTE) is None


@WRONG
@pytest.mark.parametrize("value", ["initiated", "failed"])
def test_a_deferral_lasts_as_long_as_its_report_may_be_young_and_no_longer(value: str, off: timedelta) -> None:
    look = Look()
    look.heartbeat(timedelta(), stamp="1", seen=timedelta())
    look.status("download started", -HOUR, seen=timedelta())
    look.status(value, MINUTE + off, seen=MINUTE)

    over = LONG if value == "initiated" else timedelta(seconds=LIMITS.failure_grace_seconds)
    assert deferral.why_ended(deferred(), look.member(), LIMITS, NOW + over) is None
    assert deferral.why_ended(deferred(), look.member(), LIMITS, NOW + over + 2 * MINUTE) is not None


@WRONG
def test_an_end_that_may_have_been_reported_at_any_time_keeps_the_lease(off: timedelta) -> None:
    look, lease = Look(), held(ago=60, progress=begun(60, status="initiated", stamp="s", confirmed=True))
    look.status("initiated", -MINUTE, seen=timedelta(), stamp="s")
    ended = look.status("successful", MINUTE + off, seen=MINUTE, stamp="r" if off < timedelta() else "t")
    seen = Seen(node=node(ANNA), policy=policy(), status=ended, status_read_at=(NOW + MINUTE).seen)

    assert isinstance(review(review_of(lease, seen, now=NOW + MINUTE)), Keep)

    known = look.status("successful", MINUTE, seen=2 * MINUTE, stamp=ended.stamp)
    verdict = review(review_of(lease, replace(seen, status=known), now=NOW + 2 * MINUTE))
    assert isinstance(verdict, Release)
    assert verdict.cause is Cause.SUCCEEDED


@WRONG
def test_an_agreement_is_as_old_as_at_first_whatever_the_clocks_say_later(off: timedelta) -> None:
    picture = Picture()
    lost_at = NOW.wall + off - MINUTE
    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW)
    for written_at in (NOW.wall, NOW.wall + off):
        old = replace(agreement("old", ago=0), updated_at=written_at, stamp="1")
        picture.learn_agreements(ANNA, (old,), begun=picture.begin(), now=NOW + MINUTE)

    found = picture.member(ANNA)
    assert isinstance(found, Member)
    ends = service_gap.why_over(lost_at, found, LIMITS, Now.unblinded(lost_at + MINUTE))
    assert (ends is None) is (off > timedelta())


def test_an_agreement_that_was_not_shown_before_may_be_as_old_as_it_says() -> None:
    picture = Picture()
    for minutes, shown in enumerate([(), (), (replace(agreement("old", ago=86_400), stamp="1"),)]):
        picture.learn_agreements(ANNA, shown, begun=picture.begin(), now=NOW + minutes * MINUTE)

    found = picture.agreements(ANNA)
    assert not isinstance(found, Sight)
    assert [each.updated_at for each in found] == [NOW.wall - DAY]


def test_an_agreement_of_the_future_is_not_the_new_one() -> None:
    picture = Picture()
    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW)
    future = replace(agreement("new1", ago=-3600), stamp="1")
    picture.learn_agreements(ANNA, (future,), begun=picture.begin(), now=NOW)

    found = picture.member(ANNA)
    assert isinstance(found, Member)
    assert service_gap.why_over(at(60), found, LIMITS, NOW) is None


def is_approved(found: Policy, stated: timedelta) -> bool:
    word = Approval(scope="*", kind=Kind.AGENT, subject=NMP, since=NOW.wall + stated, by="eva", why="tested")
    facts = group(limits=limits(approval=True), approvals=(word,), policies={(Kind.AGENT, NMP): found})
    return not_approved(case(ask(BERT), facts, NOW + DAY)) is None


@pytest.mark.parametrize("off", [DAY, -DAY, HOUR, -HOUR, None], ids=str)
def test_a_revision_of_an_unknown_time_needs_a_word_that_was_stated_after_it_was_seen(off: timedelta | None) -> None:
    look = Look()
    look.policy("r1", -HOUR, seen=timedelta())
    found = look.policy("r2", None if off is None else 5 * MINUTE + off, seen=5 * MINUTE)

    assert not is_approved(found, stated=4 * MINUTE)
    assert is_approved(found, stated=6 * MINUTE)


@pytest.mark.parametrize("revised", [HOUR, None], ids=str)
def test_the_first_revision_that_is_seen_needs_such_a_word_too(revised: timedelta | None) -> None:
    found = Look().policy("r1", revised, seen=timedelta())

    assert not is_approved(found, stated=-MINUTE)
    assert is_approved(found, stated=MINUTE)


def test_a_revision_that_no_one_could_date_is_not_approved() -> None:
    assert not is_approved(policy(revised_at=None), stated=MINUTE)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_what_is_known_moves_along_when_our_date_is_set(step: timedelta) -> None:
    look = Look()
    look.heartbeat(timedelta(), stamp="1", seen=timedelta())
    look.status("initiated", timedelta(), seen=timedelta())
    look.policy("r1", timedelta(), seen=timedelta())
    late = Look()
    late.status("downloaded", timedelta(), seen=timedelta())
    assert not late.status("initiated", MINUTE + DAY, seen=MINUTE).is_dated

    for each in (look, late):
        each.picture.date_stepped(step)

    for written in (step, step + DAY, step - DAY):
        assert look.heartbeat(written, stamp="1", seen=step + MINUTE).heartbeat_at == NOW.wall + step
        assert look.status("initiated", written, seen=step + MINUTE).updated_at == NOW.wall + step
        assert look.policy("r1", written, seen=step + MINUTE).revised_at == NOW.wall + step
    assert look.status("successful", step + 90 * timedelta(seconds=1), seen=step + 2 * MINUTE).is_dated
    assert late.status("initiated", step + MINUTE, seen=step + 2 * MINUTE).is_dated


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_looks_without_a_status_bound_the_next_one_also_after_our_date_was_set(step: timedelta) -> None:
    for written, is_dated in ((MINUTE / 2, True), (-10 * MINUTE, False)):
        look = Look()
        for seen in (timedelta(), MINUTE):
            look.picture.learn_statuses(ANNA, {}, begun=look.picture.begin(), now=NOW + seen)
        look.picture.date_stepped(step)

        assert look.status("initiated", step + written, seen=step + 2 * MINUTE).is_dated is is_dated


@pytest.mark.parametrize("moment", [NOW.wall - DAY, None], ids=str)
def test_an_answer_that_was_asked_for_before_our_date_was_set_has_its_own_time_or_none(moment: datetime | None) -> None:
    stamps = Stamps()
    stamps.date_stepped(HOUR, sequence=5)
    dated = stamps.date_only(Read(what=What.NODE, id=ANNA), ("1", moment), begun=4, now=NOW)

    assert (dated.at, dated.is_known) == ((NOW.wall, False) if moment is None else (moment, True))


def test_an_answer_that_was_asked_for_before_our_date_was_set_bounds_nothing() -> None:
    look = Look()
    look.status("downloaded", timedelta(), seen=timedelta())
    asked = look.picture.begin()
    look.picture.date_stepped(HOUR)
    late = {NMP: replace(status("initiated", stamp="2"), updated_at=NOW.wall + HOUR + MINUTE)}
    look.picture.learn_statuses(ANNA, late, begun=asked, now=NOW + MINUTE)

    found = look.status("initiated", HOUR + MINUTE, seen=HOUR + 2 * MINUTE, stamp="2")
    assert (found.is_dated, found.updated_at) == (True, NOW.wall + HOUR + MINUTE)


def test_what_a_restored_exchange_shows_is_as_old_as_it_was_when_it_was_seen_before() -> None:
    look = Look()
    look.status("initiated", timedelta(), seen=MINUTE)
    look.status("successful", 2 * MINUTE, seen=3 * MINUTE)

    assert look.status("initiated", DAY, seen=DAY).updated_at == NOW.wall


def test_what_appears_after_a_restore_may_be_older_than_the_last_look() -> None:
    look = Look()
    look.status("successful", 2 * MINUTE, seen=3 * MINUTE)
    before = look.status("initiated", -HOUR, seen=4 * MINUTE)
    look.picture.note_old_state(ORG, NOW + 5 * MINUTE)
    after = look.status("initiated", -HOUR, seen=6 * MINUTE)

    assert not before.is_dated, "until the feed tells of the restore, it may be a new one by a clock that was set back"
    assert (after.is_dated, after.updated_at) == (True, NOW.wall - HOUR)


def test_what_appears_after_a_restore_may_be_older_than_looks_that_did_not_show_it() -> None:
    look = Look()
    for seen in (timedelta(), MINUTE):
        look.picture.learn_statuses(ANNA, {}, begun=look.picture.begin(), now=NOW + seen)
    look.picture.note_old_state(ORG, NOW + 2 * MINUTE)

    assert look.status("initiated", -DAY, seen=3 * MINUTE).is_dated


def test_one_look_without_a_status_does_not_make_it_younger() -> None:
    look = Look()
    look.status("downloaded", timedelta(), seen=MINUTE)
    look.picture.learn_statuses(ANNA, {}, begun=look.picture.begin(), now=NOW + 5 * MINUTE)

    assert look.status("initiated", 2 * MINUTE, seen=6 * MINUTE).is_dated


def test_one_look_without_any_status_bounds_no_later_one() -> None:
    look = Look()
    look.picture.learn_statuses(ANNA, {}, begun=look.picture.begin(), now=NOW + 5 * MINUTE)

    assert look.status("initiated", 2 * MINUTE, seen=6 * MINUTE).is_dated


def test_a_status_that_two_looks_did_not_show_was_written_since_the_first_of_them() -> None:
    look = Look()
    for seen in (timedelta(), MINUTE):
        look.picture.learn_statuses(ANNA, {}, begun=look.picture.begin(), now=NOW + seen)

    assert not look.status("initiated", -DAY, seen=2 * MINUTE).is_dated


def test_what_an_old_copy_hid_from_the_looks_before_is_an_end_all_the_same() -> None:
    look, lease = Look(), held(ago=60, progress=begun(60, status="initiated", stamp="s", confirmed=True))
    for minutes in range(5):
        look.status("initiated", -MINUTE, seen=minutes * MINUTE, stamp="s")
    ended = look.status("successful", MINUTE, seen=5 * MINUTE, stamp="t")
    seen = Seen(node=node(ANNA), policy=policy(), status=ended, status_read_at=(NOW + 5 * MINUTE).seen)

    assert isinstance(review(review_of(lease, seen, now=NOW + 5 * MINUTE)), Release)


def test_a_replica_that_lags_behind_makes_nothing_new() -> None:
    look = Look()
    look.status("downloaded", -HOUR, seen=timedelta())
    first = look.status("initiated", MINUTE, seen=2 * MINUTE)
    look.status("downloaded", -HOUR, seen=40 * MINUTE)

    assert look.status("initiated", MINUTE, seen=41 * MINUTE) == first


def test_a_report_that_was_written_while_a_slow_answer_was_waited_for_is_none_of_the_future() -> None:
    look = Look()
    look.status("initiated", timedelta(), seen=timedelta())
    look.picture.stamps.received(NOW + 3 * MINUTE)

    found = look.status("successful", 2 * MINUTE, seen=MINUTE)
    assert (found.is_dated, found.updated_at) == (True, NOW.wall + 2 * MINUTE)


def test_a_slow_answer_from_before_our_date_was_set_back_makes_no_later_report_younger() -> None:
    look = Look()
    look.picture.stamps.received(NOW)
    look.picture.date_stepped(-HOUR)

    assert look.status("initiated", timedelta(), seen=-HOUR + MINUTE).updated_at == NOW.wall - HOUR + MINUTE


def test_what_was_stamped_while_the_exchanges_clock_was_not_known_is_dated_anew() -> None:
    look = Look()
    look.status("initiated", -HOUR, seen=timedelta())
    look.picture.stamps.forget()

    assert look.status("initiated", -MINUTE, seen=MINUTE).updated_at == NOW.wall - MINUTE


@pytest.mark.parametrize(("resource", "operation"), [("nodeagreements", "deleted"), ("node", "created")])
def test_a_row_of_the_future_was_written_by_now(resource: str, operation: str) -> None:
    picture = Picture()
    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW)
    row = resources.change(ORG, resource, "anna", operation, at=NOW.wall + DAY)
    picture.apply(row, NOW + MINUTE)

    found = picture.member(ANNA)
    assert isinstance(found, Member)
    assert (found.agreement_ended_at or picture.created_at(ANNA)) == NOW.wall + MINUTE


looks = st.lists(
    st.tuples(st.booleans(), st.integers(0, 4000), st.sampled_from((0, 20, 3600, -3600, 86_400, -86_400))), max_size=12
)


@settings(max_examples=examples(60))
@given(looks)
def test_no_record_is_dated_before_the_look_without_it_or_later_than_the_first_one_with_it(
    story: list[tuple[bool, int, int]],
) -> None:
    """Each look comes so many seconds later and shows a new record or the same, by a clock that is off by so much."""
    stamps, read, now, number = Stamps(), Read(what=What.NODE, id=ANNA), NOW, 0
    stamps.date(read, {"": ("0", NOW.wall)}, begun=0, now=now)
    since: datetime | None = None
    known: datetime | None = NOW.wall
    until = NOW.wall
    for mark, (is_new, seconds, off) in enumerate(story, 1):
        before, now = now.wall, now + timedelta(seconds=seconds)
        if is_new:
            number, since, until, known = number + 1, before, now.wall, None
        dated = stamps.date(read, {"": (str(number), until + timedelta(seconds=off))}, begun=mark, now=now)[""]

        assert since is None or dated.at >= since - AHEAD
        assert dated.at <= until + AHEAD
        assert dated.is_known or dated.at == until
        assert known is None or dated.at == known, "what is known once stays so"
        known = dated.at if dated.is_known else None
