"""How a coordinator answers a request that its version does not know.

A command recognises by it a coordinator of another version, so the words stay as they are.
"""

from __future__ import annotations

from typing import Final

NO_SUCH_PATH: Final = "there is no such path"
WRONG_METHOD: Final = 405
