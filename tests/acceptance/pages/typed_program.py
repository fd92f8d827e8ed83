"""What stands on a machine's PATH for each program that the test plays: it hands its call over and ends as that says.

It runs with an interpreter of its own for each command, so it imports next to nothing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys


def main() -> int:
    """Send the words, the folder, the environment and the three streams, and wait for the exit code."""
    here = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - pathlib takes longer to import than all of this
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - as above
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(os.path.join(here, ".line"))  # noqa: PTH118 - as above
        call = json.dumps([name, sys.argv[1:], os.getcwd(), dict(os.environ)])  # noqa: PTH109 - as above

        def pass_on(number: int, _frame: object) -> None:
            line.send(str(number).encode())

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, pass_on)
        socket.send_fds(line, [call.encode()], [1, 2, 0])
        return int(line.recv(16) or 1)


if __name__ == "__main__":
    sys.exit(main())
