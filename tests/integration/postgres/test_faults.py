"""The store on PostgreSQL when something fails: a lost answer, a cut network, a promoted replica, a clock that goes back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.leadership import Candidate
from agbot.rules.lease import Lease
from agbot.rules.records import Contact
from agbot.settings.secret import Secret, read
from agbot.store.contract import JournalQuery, Lost, NotLeadingError, StoreUnavailableError, Writes
from agbot.store.postgres import statements
from agbot.store.postgres.address import Address
from agbot.store.postgres.shared import PostgresShared
from agbot.store.postgres.store import PostgresStore
from tests.contract import values
from tests.contract.values import BERT, GROUP
from tests.support.mosquitto import CERTIFICATE, KEY
from tests.support.patience import in_time, until
from tests.support.postgres import PgBouncer, Postgres
from tests.support.tcp_proxy import TcpProxy

FREE = Lease(group=GROUP)
ONE = Candidate(name="one", run="r1")
TTL = 60.0


@pytest.fixture
def address(postgres_server: Postgres, postgres_common: str, postgres_schema: str) -> Address:
    return Address(url=postgres_server.url(postgres_common), schema=postgres_schema)


@pytest.fixture
async def proxy(postgres_server: Postgres) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(postgres_server.port) as made:
        yield made


@pytest.fixture
async def store(
    address: Address, proxy: TcpProxy, postgres_server: Postgres, postgres_common: str
) -> AsyncIterator[PostgresStore]:
    """A store whose network can be cut."""
    async with opened(replace(address, url=postgres_server.url(postgres_common, port=proxy.port))) as made:
        yield made


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A server that the test may stop."""
    server = Postgres.create()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@asynccontextmanager
async def opened(address: Address, journal_bytes: int = 0) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(address, journal_bytes=journal_bytes)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_a_grant_whose_answer_is_lost_is_no_refusal_and_is_found_by_the_next_load(
    store: PostgresStore, proxy: TcpProxy
) -> None:
    held = values.granted(FREE)
    proxy.lose_answer_to(b"UPDATE lease")
    with pytest.raises(StoreUnavailableError, match="what became of"):
        await store.swap(FREE, held, Writes(entries=[values.entry()]))

    assert proxy.lost == 1
    assert (await store.load()).leases == {GROUP: held}
    assert await store.swap(FREE, values.granted(FREE, BERT)) == Lost(current=held)
    assert len(await store.journal(JournalQuery())) == 1


async def test_a_write_that_arrives_after_the_store_was_loaded_again_is_refused(
    store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    """A cut network may deliver late what the client has given up: then it has been decided without it."""
    with postgres_server.connect(postgres_common) as other:
        other.execute("BEGIN")
        other.execute(f"LOCK TABLE {address.schema}.brake".encode())
        late = asyncio.create_task(store.write(Writes(put=[values.brake()])))
        await asyncio.sleep(0)
        loading = asyncio.create_task(store.load())
        with pytest.raises(StoreUnavailableError):
            await late
        other.execute("ROLLBACK")
    assert (await loading).records == []
    before = store._fence  # noqa: SLF001 - as if an older message came now
    assert before is not None
    await store.load()
    store._fence = before  # noqa: SLF001 - see above
    with pytest.raises(StoreUnavailableError, match="loaded again"):
        await store.swap(FREE, values.granted(FREE))
    assert (await store.load()).leases == {}


async def test_a_cut_connection_that_was_idle_is_made_again_and_nothing_fails(
    store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    await store.write(Writes(put=[values.turn()]))
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'agbot %'"
    assert postgres_server.run(postgres_common, ended) != [(0,)]
    await asyncio.to_thread(_until_gone, postgres_server, postgres_common)

    held = values.granted(FREE)
    assert await store.swap(FREE, held) == held


def _until_gone(server: Postgres, database: str) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'agbot %'"
    while server.run(database, count) != [(0,)]:
        pass


async def test_a_network_that_carries_nothing_is_an_error_in_time_and_heals(
    store: PostgresStore, proxy: TcpProxy
) -> None:
    await store.load()
    proxy.stall()
    with in_time(5), pytest.raises(StoreUnavailableError, match="no answer"):
        await store.swap(FREE, values.granted(FREE))
    proxy.is_refusing = True
    await proxy.cut()
    proxy.resume()
    with pytest.raises(StoreUnavailableError):
        await store.load()

    proxy.is_refusing = False
    leases = (await store.load()).leases
    assert leases in ({}, {GROUP: values.granted(FREE)})


async def test_a_lock_of_another_session_is_an_error_in_time_and_leaves_no_transaction(
    store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    held = values.granted(FREE)
    await store.swap(FREE, held)
    with postgres_server.connect(postgres_common) as other:
        other.execute("BEGIN")
        other.execute(f"SELECT FROM {address.schema}.lease FOR UPDATE".encode())
        with pytest.raises(StoreUnavailableError, match="55P03"):
            await store.swap(held, values.released(held))
        other.execute("ROLLBACK")
    idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'agbot %' AND state LIKE 'idle in%'"
    assert postgres_server.run(postgres_common, idle) == [(0,)]
    assert await store.swap(held, values.released(held)) == values.released(held)


async def test_of_writes_that_share_a_transaction_a_refused_one_fails_alone(
    store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    await store.load()
    postgres_server.run(postgres_common, f"ALTER TABLE {address.schema}.brake ADD CHECK (revision <> 'bad')")
    before = store.commits
    asks = [
        store.write(Writes(put=[values.brake(revision=revision, subject=PolicyId(f"acme/{number}"))]))
        for number, revision in enumerate(["first", "a", "bad", "b"])
    ]
    outcomes = await asyncio.gather(*asks, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), StoreUnavailableError, type(None)]
    assert len((await store.load()).records) == 3
    assert store.commits > before


async def test_writes_that_wait_share_a_transaction(store: PostgresStore) -> None:
    await store.load()
    before = store.commits
    frees = [Lease(group=GroupId(f"acme/g{number}")) for number in range(60)]
    await asyncio.gather(*(store.swap(free, values.granted(free)) for free in frees))
    assert store.commits - before < 10


async def test_the_bound_of_the_journal_is_held_by_its_writes_and_its_size_is_known_to_the_byte(
    address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    bound = 8_000
    async with opened(address, journal_bytes=bound) as store:
        for number in range(60):
            await store.write(Writes(entries=[replace(values.entry(), facts={"text": "é" * (number * 7 % 90)})] * 2))
            if number % 5:
                continue  # each look is a process of its own
            ((counted, kept),) = postgres_server.run(
                postgres_common,
                f"SELECT bytes, (SELECT sum(octet_length(facts) + 256) FROM {address.schema}.journal)"
                f" FROM {address.schema}.journal_end",
            )
            assert counted == kept
            assert int(str(counted)) < bound + 2_000  # a write drops what the ones before it were too many
        ids = [each.id for each in await store.journal(JournalQuery(after=0))]
        assert ids == list(range(ids[0], 121))
        assert ids[0] > 60


@pytest.mark.parametrize("moved", ["seen_at", "clock"])
async def test_nothing_is_granted_while_the_clock_of_the_database_is_behind_where_it_was(
    moved: str, store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    """The row remembers the latest time. That its clock has gone back, and that the row is ahead, is the same to it."""
    held = values.granted(FREE)
    await store.swap(FREE, held)
    ahead = f"UPDATE {address.schema}.leader SET seen_at = seen_at + interval '1 hour'"
    postgres_server.run(postgres_common, ahead)
    if moved == "clock":
        await store.check()  # a renewal does not take it back

    assert await store.swap(held, values.released(held)) == values.released(held)
    with pytest.raises(StoreUnavailableError, match=r"has gone back, and nothing is granted for 3[56]\d\d"):
        await store.swap(values.released(held), values.granted(values.released(held), BERT))
    assert await store.lease(GROUP) == values.released(held)

    postgres_server.run(postgres_common, f"UPDATE {address.schema}.leader SET seen_at = clock_timestamp()")
    again = values.granted(values.released(held), BERT)
    assert await store.swap(values.released(held), again) == again


async def test_a_promoted_replica_that_lacks_the_last_grant_is_noticed_by_the_leader(own_server: Postgres) -> None:
    async with TcpProxy(own_server.port) as proxy, opened(Address(url=own_server.url(port=proxy.port))) as store:
        await store.load()
        replica = own_server.replica()
        held = values.granted(FREE)
        await store.swap(FREE, held)
        own_server.kill()
        await asyncio.to_thread(replica.start)
        try:
            await asyncio.to_thread(replica.promote)
            proxy.target = replica.port
            with pytest.raises(StoreUnavailableError):
                await store.swap(held, values.released(held))
            with pytest.raises(StoreUnavailableError, match="is not what was loaded"):
                await store.swap(FREE, values.granted(FREE, BERT))

            generation = (await store.load()).generation
            assert "a replica may have been promoted" in generation.doubt
            assert generation.token_floor > held.token
            with pytest.raises(ValueError, match="may have been given before"):
                await store.swap(FREE, values.granted(FREE, BERT))
            assert (await store.load()).generation == generation
            await store.settle(values.entry("store.settled"))
            assert (await store.load()).generation == replace(generation, doubt="")
        finally:
            await store.close()
            replica.remove()


async def test_a_promoted_replica_is_noticed_by_the_next_start_and_a_restart_of_the_server_is_none(
    own_server: Postgres,
) -> None:
    async with opened(Address(url=own_server.url())) as store:
        await store.swap(FREE, values.granted(FREE))
        before = (await store.load()).generation
    await asyncio.to_thread(own_server.restart)
    async with opened(Address(url=own_server.url())) as store:
        assert (await store.load()).generation == before
    replica = own_server.replica()
    await asyncio.to_thread(own_server.kill)
    await asyncio.to_thread(replica.start)
    try:
        await asyncio.to_thread(replica.promote)
        async with opened(Address(url=replica.url())) as store:
            assert "another timeline than before" in (await store.load()).generation.doubt
    finally:
        replica.remove()


async def test_a_journal_that_has_become_shorter_under_the_leader_is_noticed(
    store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    await store.write(Writes(entries=[values.entry(), values.entry()]))
    postgres_server.run(postgres_common, f"UPDATE {address.schema}.journal_end SET id = 1")

    with pytest.raises(StoreUnavailableError, match="is not what was loaded"):
        await store.write(Writes(entries=[values.entry()]))
    assert "ends at entry 1, but 2 had been written" in (await store.load()).generation.doubt


async def test_a_leader_that_was_deposed_while_frozen_writes_nothing(
    store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    postgres_server.run(
        postgres_common, f"UPDATE {address.schema}.leader SET expires_at = clock_timestamp() - interval '1 s'"
    )
    async with opened(address) as new:
        held = values.granted(FREE)
        await new.swap(FREE, held)
        with pytest.raises(NotLeadingError):
            await store.swap(FREE, values.granted(FREE, BERT))
        with pytest.raises(NotLeadingError):
            await store.check()
        assert await new.lease(GROUP) == held


async def test_a_renewal_of_the_leadership_does_not_wait_for_a_write_and_a_change_of_the_leader_does(
    address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    shared = PostgresShared(address)
    await shared.open()
    epoch = (await shared.take(ONE, TTL)).epoch
    term = shared.under(epoch)
    await term.load()
    with postgres_server.connect(postgres_common) as other:
        other.execute("BEGIN")
        other.execute(f"SET LOCAL search_path = {address.schema}".encode())
        other.execute(statements.fenced(await term._ready()).encode())  # noqa: SLF001 - a write that takes long
        assert await shared.renew(epoch, TTL)
        with pytest.raises(StoreUnavailableError, match="55P03"):
            await shared.take(ONE, TTL)
        other.execute("ROLLBACK")
    assert (await shared.take(ONE, TTL)).epoch == epoch + 1
    await shared.close()


def waits_for_lock(server: Postgres, database: str, purpose: str) -> bool:
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE application_name = 'agbot {purpose}' AND wait_event_type = 'Lock'"
    return bool(server.run(database, waiting))


async def test_a_load_waits_for_a_write_whose_client_has_given_up(
    store: PostgresStore, address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    await store.load()
    with postgres_server.connect(postgres_common) as late:
        late.execute("BEGIN")
        late.execute(f"SELECT FROM {address.schema}.leader FOR KEY SHARE".encode())  # as every write does first
        late.execute(f"INSERT INTO {address.schema}.contact (node_id) VALUES ('o1/late')".encode())
        loading = asyncio.create_task(store.load())
        await until("the load that waits", lambda: waits_for_lock(postgres_server, postgres_common, "writes"))
        late.execute("COMMIT")
    assert (await loading).records == [Contact(node=NodeId("o1/late"))]


async def test_it_works_behind_a_pooler_in_transaction_mode(
    address: Address, postgres_server: Postgres, postgres_common: str
) -> None:
    pooler = PgBouncer.before(postgres_server)
    try:
        async with opened(replace(address, url=pooler.url(postgres_common))) as store:
            frees = [Lease(group=GroupId(f"acme/g{number}")) for number in range(30)]
            writes = Writes(put=[values.waiter()], entries=[values.entry()])
            await asyncio.gather(*(store.swap(free, values.granted(free), writes) for free in frees))
            await store.check()
            assert len((await store.load()).leases) == 30
            assert [each.id for each in await store.journal(JournalQuery(after=0))] == list(range(1, 31))
            with postgres_server.connect(postgres_common) as look:
                kept = look.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
                assert kept == (0,)
    finally:
        pooler.remove()


async def test_errors_name_the_server_and_what_to_do_and_never_the_password(
    address: Address, own_server: Postgres
) -> None:
    secret = Secret("hush7database7hush")
    nowhere = Address(url="postgresql://agbot@127.0.0.1:1/agbot", password=secret)
    with pytest.raises(
        StoreUnavailableError, match=r"could not connect to 127\.0\.0\.1:1/agbot .*; look whether the server"
    ) as caught:
        await PostgresStore(nowhere).open()
    assert "hush7" not in str(caught.value)
    assert "hush7" not in repr(nowhere)

    hba = own_server.data / "pg_hba.conf"
    hba.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
    own_server.run("postgres", "ALTER ROLE postgres PASSWORD 'hush7database7hush'", "SELECT pg_reload_conf()")
    with pytest.raises(StoreUnavailableError, match="password") as caught:
        await PostgresStore(Address(url=own_server.url(), password=Secret("wrong7"))).open()
    assert "wrong7" not in str(caught.value)
    async with opened(Address(url=own_server.url(), password=secret)) as store:
        assert (await store.load()).leases == {}


async def test_a_password_that_was_changed_is_used_for_the_next_connection(
    own_server: Postgres, tmp_path: Path
) -> None:
    file = tmp_path / "store-password"
    file.write_text("first7\n", encoding="utf-8")
    (own_server.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    own_server.run("postgres", "ALTER ROLE postgres PASSWORD 'first7'", "SELECT pg_reload_conf()")
    async with opened(Address(url=own_server.url(), password=read(file).secret)) as store:
        own_server.run("postgres", "ALTER ROLE postgres PASSWORD 'second7'")
        assert (await store.load()).leases == {}, "connections go on"
        await asyncio.to_thread(own_server.restart)
        with pytest.raises(StoreUnavailableError, match=r"check the user in \[store\] url, \[store\] password_file"):
            await store.load()
        file.write_text("second7\n", encoding="utf-8")
        assert (await store.load()).leases == {}


async def test_tls_is_verified_as_the_address_says(own_server: Postgres) -> None:
    for source, name in ((CERTIFICATE, "server.crt"), (KEY, "server.key")):
        there = own_server.data / name
        there.write_bytes(source.read_bytes())
        owner = own_server.data.stat()
        os.chown(there, owner.st_uid, owner.st_gid)
        there.chmod(0o600)
    own_server.settings = {**own_server.settings, "ssl": "on"}
    (own_server.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
    await asyncio.to_thread(own_server.restart)

    with pytest.raises(StoreUnavailableError, match=r"pg_hba\.conf"):
        await PostgresStore(Address(url=f"{own_server.url()}?sslmode=disable")).open()
    with pytest.raises(StoreUnavailableError, match="root certificate"):
        await PostgresStore(Address(url=f"{own_server.url()}?sslmode=verify-ca&sslrootcert=/none")).open()
    async with opened(Address(url=f"{own_server.url()}?sslmode=verify-ca&sslrootcert={CERTIFICATE}")) as store:
        assert (await store.load()).leases == {}


async def test_of_several_hosts_the_one_that_takes_writes_is_used_after_a_promotion(own_server: Postgres) -> None:
    replica = own_server.replica()
    await asyncio.to_thread(replica.start)
    hosts = f"127.0.0.1:{replica.port},127.0.0.1:{own_server.port}"
    address = Address(url=f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write")
    try:
        async with opened(address) as store:
            held = values.granted(FREE)
            await store.swap(FREE, held)
            await asyncio.to_thread(own_server.until_followed)
            await asyncio.to_thread(own_server.kill)
            await asyncio.to_thread(replica.promote)
            with pytest.raises(StoreUnavailableError):
                await store.swap(held, values.released(held))
            assert (await store.load()).generation.doubt
    finally:
        replica.remove()
