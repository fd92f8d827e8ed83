"""Fair shares: whoever is new finds room, however much another has taken."""

from __future__ import annotations

from agbot.listening.shares import Place, Shares


def taken(shares: Shares, owner: str, part: str | None = None) -> list[Place]:
    """Take as many places as the owner gets."""
    places = []
    while (place := shares.take(owner, part)) is not None:
        places.append(place)
    return places


def given(places: list[Place]) -> None:
    for place in places:
        with place:
            pass


def test_one_alone_gets_four_fifths() -> None:
    assert len(taken(Shares(1000), "a")) == 800


def test_somebody_new_finds_room_beside_whoever_took_all_it_could() -> None:
    shares = Shares(1000)
    taken(shares, "a")
    assert len(taken(shares, "b")) == 160


def test_after_the_first_has_given_back_both_have_the_same() -> None:
    shares = Shares(900)
    given(taken(shares, "a")[400:])
    assert (len(taken(shares, "b")), taken(shares, "a")) == (400, [])


def test_a_hundred_who_take_all_they_can_leave_room_for_one_more() -> None:
    shares = Shares(1000)
    for one in range(100):
        taken(shares, f"attacker {one}")
    assert shares.take("a") is not None or shares.used == 1000


def test_those_behind_one_address_leave_room_for_each_other() -> None:
    shares = Shares(1000)
    assert len(taken(shares, "proxy", "")) == 500
    assert len(taken(shares, "proxy", "o1/n1")) == 250


def test_made_up_names_get_an_address_no_more_than_it_may_have() -> None:
    shares = Shares(1000)
    assert sum(len(taken(shares, "a", str(one))) for one in range(1000)) <= 800
    assert shares.take("b", "") is not None


def test_what_is_given_back_can_be_taken_again() -> None:
    shares = Shares(10)
    for _ in range(3):
        places = taken(shares, "a", "x")
        assert places
        given(places)
    assert shares.used == 0


def test_a_single_place_can_be_taken() -> None:
    assert len(taken(Shares(1), "a", "")) == 1
