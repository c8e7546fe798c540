"""What ``mitmdump -s`` is given; the tap itself is in `addon.tap`."""

import sys
from pathlib import Path

# mitmproxy executes this file by its path. A folder `addon` or `store` of the user's must not be found before ours.
_root = str(Path(__file__).resolve().parent.parent)
sys.path[:] = [_root, *(each for each in sys.path if each != _root)]

from addon.tap import Tap  # noqa: E402 (importable only from here on)

addons = [Tap()]
