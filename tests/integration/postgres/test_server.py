"""What the other tests rely on: a server of their own that can be stopped, killed, and replaced by a promoted replica."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.support.postgres import PgBouncer, Postgres
from tests.support.tcp_proxy import TcpProxy


@contextmanager
def running(server: Postgres) -> Iterator[Postgres]:
    try:
        server.start()
        yield server
    finally:
        server.remove()


def test_a_database_is_empty_and_reached_over_tcp_and_the_socket(
    postgres_server: Postgres, postgres_database: str
) -> None:
    for url in (postgres_server.url(postgres_database), postgres_server.socket_url(postgres_database)):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone() == (0,)


def test_what_was_committed_survives_a_stop_and_a_kill_and_is_on_the_promoted_replica() -> None:
    with running(Postgres.create()) as server:
        server.run("postgres", "CREATE TABLE kept (at text)", "INSERT INTO kept VALUES ('first')")
        server.restart()
        server.kill()
        server.start()
        replica = server.replica()
        server.run("postgres", "INSERT INTO kept VALUES ('lost')")
        server.kill()
        with running(replica):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                replica.run("postgres", "INSERT INTO kept VALUES ('refused')")
            replica.promote()
            assert replica.run("postgres", "SELECT at FROM kept")[0] == ("first",)
            replica.run("postgres", "INSERT INTO kept VALUES ('taken')")


def test_a_pooler_in_transaction_mode_forwards_to_it(postgres_server: Postgres, postgres_database: str) -> None:
    pooler = PgBouncer.before(postgres_server)
    try:
        with psycopg.connect(pooler.url(postgres_database), prepare_threshold=None) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (postgres_database,)
    finally:
        pooler.remove()


async def test_the_proxy_loses_the_answer_to_one_request_that_the_server_has_carried_out(
    postgres_server: Postgres, postgres_database: str
) -> None:
    postgres_server.run(postgres_database, "CREATE TABLE kept (at text)")
    async with TcpProxy(postgres_server.port) as proxy:
        url = postgres_server.url(postgres_database, port=proxy.port)
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        proxy.lose_answer_to(b"'lost'")
        async with connection:
            with pytest.raises(psycopg.OperationalError):
                await connection.execute("INSERT INTO kept VALUES ('lost')")
        assert proxy.lost == 1

    assert postgres_server.run(postgres_database, "SELECT at FROM kept") == [("lost",)]
