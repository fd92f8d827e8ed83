"""What a command says when the coordinator cannot be reached, or something else listens there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agbot.cli import client
from agbot.cli.main import COMMANDS, main
from tests.integration.cli.conftest import Shell
from tests.support.patience import PATIENCE_SECONDS


def run(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(
        main, words, env={"AGBOT_URL": None, "HTTP_PROXY": "http://127.0.0.1:9", **environ}, prog_name="agbot"
    )


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[bytes]]]:
    """Something that listens and answers with the given bytes."""
    answers: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                peer.sendall(answers[0])

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", answers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(PATIENCE_SECONDS)


def test_no_one_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    result = run("status", "--url", f"http://127.0.0.1:{port}")

    assert result.exit_code == 5
    assert "cannot be reached: Connection refused" in result.stderr
    assert "systemctl status agbot" in result.stderr


def test_the_host_has_no_such_name() -> None:
    result = run("status", "--url", "http://no-such-host.invalid:8084")

    assert result.exit_code == 5
    assert "cannot be reached" in result.stderr


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8084", "ftp://127.0.0.1", "http://", "http://[::1", "http://h:99999", "http://u:p@h", "http://a..b"],
)
def test_an_address_that_is_none_is_bad_input(url: str) -> None:
    result = run("status", "--url", url)

    assert result.exit_code == 1
    assert "the address is invalid" in result.stderr


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached"),
        (b"", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "cannot be reached"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "answer was 404"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnull", "answer was 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", "answer was 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<p>hi</p>", "answer was 200, and not in the form"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"\xff"}', "answer was 200, and not in the form"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not what this command expects"),
    ],
)
def test_something_else_listens_there(stranger: tuple[str, list[bytes]], answer: bytes, stated: str) -> None:
    url, answers = stranger
    answers.append(answer)

    result = run("leases", "--url", url)

    assert result.exit_code == 5
    assert stated in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("leases",),
        ("orders",),
        ("status",),
        ("status", "--watch"),
        ("explain", "o1/n"),
        ("rollout",),
        ("history",),
        ("hold", "o1", "--reason", "x"),
    ],
    ids=" ".join,
)
def test_so_it_is_with_json_for_which_the_answer_is_shown_as_it_is(
    stranger: tuple[str, list[bytes]], tmp_path: Path, words: tuple[str, ...]
) -> None:
    url, answers = stranger
    answers.append(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<p>hi</p>")
    token = tmp_path / "token"
    token.write_text("let-me-in-0123456789\n", encoding="utf-8")
    token.chmod(0o600)

    result = run(*words, "--json", "--url", url, AGBOT_OPERATOR_TOKEN_FILE=str(token))

    assert result.exit_code == 5, result.output
    assert "answer was 200, and not in the form" in json.loads(result.stdout)["error"]["problem"]


@pytest.mark.parametrize(
    "words",
    [
        ("hold", "o1/g"),
        ("resume", "o1/g"),
        ("release", "o1/g", "--yes"),
        ("allow", "o1/n", "--until", "2099-01-31T18:00Z"),
        ("approve", "o1/g", "--subject", "o1/p"),
        ("lead", "--yes"),
    ],
)
def test_an_order_without_an_answer_may_have_been_carried_out(
    stranger: tuple[str, list[bytes]], tmp_path: Path, words: tuple[str, ...]
) -> None:
    url, answers = stranger
    answers.append(b"")
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o600)

    result = run(*words, "--reason", "r", "--url", url, "--token-file", str(token))

    assert result.exit_code == 5
    shown = " ".join(result.stderr.split())
    assert "The request was sent, and may have been carried out" in shown
    assert "see `agbot orders` and `agbot history`" in shown


def test_an_order_that_was_not_sent_was_not_carried_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o600)

    result = run("hold", "o1", "--reason", "r", "--url", f"http://127.0.0.1:{port}", "--token-file", str(token))

    assert result.exit_code == 5
    assert "carried out" not in result.stderr


def test_https_to_a_plain_listener_names_http(shell: Shell) -> None:
    result = shell.run("status", "--url", shell.url.replace("http://", "https://"))

    assert result.exit_code == 5
    assert "try http:// instead of https://" in " ".join(result.stderr.split())


def test_a_coordinator_in_trouble_is_reported_with_its_own_words(shell: Shell) -> None:
    shell.operations.outcome = RuntimeError("bug")

    result = shell.act("resume", "*", "--reason", "x")

    assert result.exit_code == 5
    assert "console.failed" in result.stderr


def test_the_address_may_end_in_a_path_of_a_reverse_proxy(shell: Shell) -> None:
    result = shell.run("status", "--url", f"{shell.url}/agbot")

    assert result.exit_code == 8
    assert "/agbot/v1/status" in result.stderr


def test_the_help_lists_every_command_without_loading_one() -> None:
    heavy = ["aiohttp", "rich", "structlog", "msgspec", "sqlite3", "asyncio", "prometheus_client", "agbot.rules"]
    script = (
        "import sys; from agbot.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    lines = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert lines[-1] == "[]"
    listed = {line.split()[0] for line in lines if line.startswith("  ") and line.strip()}
    assert set(COMMANDS) <= listed


def test_asking_for_the_status_loads_neither_a_server_nor_store_settings_or_events() -> None:
    heavy = ["aiohttp", "structlog", "sqlite3", "prometheus_client", "asyncio"]
    heavy += ["agbot.store", "agbot.settings.model", "agbot.events"]
    script = (
        "import sys; from agbot.cli.main import main\n"
        "try: main(['status', '--url', 'http://127.0.0.1:1'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_mistyped_command_gets_a_proposal() -> None:
    result = run("statsu")

    assert result.exit_code == 2
    assert "(did you mean status?)" in result.stderr


def test_the_version_is_reported() -> None:
    assert run("--version").stdout.startswith("agbot, version ")


def test_an_unreachable_coordinator_is_json_on_demand() -> None:
    result = run("leases", "--url", "http://127.0.0.1:1", "--json")

    assert json.loads(result.stdout)["error"]["exit_code"] == 5


@pytest.mark.parametrize("head", [b"Content-Length: 999999999999", b"Connection: close"])
def test_an_answer_without_measure_is_given_up(
    stranger: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1_000_000)
    url, answers = stranger
    answers.append(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + b"x" * 1_100_000)

    result = run("status", "--url", url)

    assert result.exit_code == 5
    assert "more than 1000000 bytes" in result.stderr


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_an_answer_that_breaks_off_is_no_answer(stranger: tuple[str, list[bytes]], framing: bytes) -> None:
    url, answers = stranger
    answers.append(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n2\r\n{}\r\n")

    result = run("status", "--url", url)

    assert result.exit_code == 5
    assert "cannot be reached" in result.stderr
