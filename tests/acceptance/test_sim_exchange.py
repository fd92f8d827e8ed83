"""`agbot sim exchange`: the simulated Exchange as a process, for trials.

The other tests have it in a thread of theirs.
"""

from __future__ import annotations

import aiohttp

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
