"""`agbot sim exchange`: the simulated Exchange as a process, for trials.

The other tests have it in a thread of theirs.
"""

from __future__ import annotations

import socket

import aiohttp
import pytest

from tests.acceptance.hub import Hub
from tests.acceptance.programs import Programs
from tests.acceptance.site import group_of_three
from tests.support.patience import until


async def test_a_simulated_exchange_says_where_it_listens_can_be_filled_and_ends(
    programs: Programs, session: aiohttp.ClientSession
) -> None:
    hub = Hub(session)
    program = programs.start("sim", "exchange", "--listen", f"127.0.0.1:{hub.port}")
    await until("its sentence", lambda: f"simulated Exchange at {hub.url} " in program.log)

    await hub.fill()
    await group_of_three(hub)

    program.terminate()
    assert await program.ended() == 0


@pytest.mark.parametrize("words", [("exchange", "--listen"), ("hub", "--exchange")], ids=" ".join)
async def test_a_port_in_use_is_named_as_it_was_given_with_what_to_do(
    programs: Programs, words: tuple[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        program = programs.start("sim", *words, listen)
        assert await program.ended() == 1

    assert f"agbot: {listen}: address already in use\n" in program.log
    assert "`ss -ltnp`" in program.log
