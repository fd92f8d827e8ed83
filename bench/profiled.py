"""The daemon as its command starts it, profiled by processor time.

`python -m bench.profiled FILE agbot-arguments` writes the profile to FILE.
"""

from __future__ import annotations

import cProfile
import sys
import time

from agbot.cli.main import main


def run() -> None:
    """Profile the daemon from its start to its end."""
    file, sys.argv = sys.argv[1], ["agbot", *sys.argv[2:]]
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    try:
        main()
    finally:
        profile.disable()
        profile.dump_stats(file)


if __name__ == "__main__":
    run()
